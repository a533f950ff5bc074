"""Every refusal over the wire is a problem document.

Source: RFC 9457, sections 3 and 4; RFC 9110, sections 10.2.3, 11.6.1 and 15.5.6 for the headers
that go with a status.
"""

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import Answer, Server

Ask = Callable[[Server, Caller], Answer]

BODY = {"instances": [1]}
_EXTENSIONS = {"code", "request_id", "error"}
_MEMBER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")


def predict(server: Server, caller: Caller, **overrides: object) -> Answer:
    """Ask for a prediction that is good but for what the test changes."""
    given = {"key": caller.api_key, "body": BODY, "model": "scaled"} | overrides
    return server.predict(str(given["key"]), given["body"], model=str(given["model"]))


def over_the_rate(server: Server, _: Caller) -> Answer:
    """Use up a rate that does not refill during the test."""
    plan_id = make_plan(server, requests_per_second=0.001, burst=1)
    caller = make_caller(server, make_tenant(server, plan_id))
    return [predict(server, caller) for _ in range(2)][1]


def over_the_quota(server: Server, _: Caller) -> Answer:
    """Ask a tenant's last unit and one more."""
    plan_id = make_plan(server, units_per_month=1)
    caller = make_caller(server, make_tenant(server, plan_id))
    return [predict(server, caller) for _ in range(2)][1]


def suspended(server: Server, _: Caller) -> Answer:
    """Call for a tenant that was switched off."""
    caller = make_caller(server, make_tenant(server, make_plan(server)))
    path = f"/v1/tenants/{caller.tenant_id}"
    server.call("PATCH", path, key=server.demo["admin_key"], body={"status": "suspended"})
    return predict(server, caller)


def of_the_control_plane(method: str, path: str, body: object = None) -> Ask:
    """Make a call with an admin's key."""
    return lambda server, _: server.call(method, path, key=server.demo["admin_key"], body=body)


REFUSALS: dict[str, tuple[int, str, Ask]] = {
    "no credential": (401, "unauthenticated", lambda s, c: predict(s, c, key="")),
    "no credential, control plane": (
        401,
        "unauthenticated",
        lambda s, _: s.call("GET", "/v1/plans"),
    ),
    "scope": (403, "scope_missing", lambda s, c: s.call("GET", "/v1/plans", key=c.api_key)),
    "suspended": (403, "tenant_suspended", suspended),
    "model": (404, "model_not_found", lambda s, c: predict(s, c, model="none")),
    "route": (404, "not_found", of_the_control_plane("GET", "/v1/nothing")),
    "plan": (404, "not_found", of_the_control_plane("GET", "/v1/plans/plan_0")),
    "method": (
        405,
        "method_not_allowed",
        lambda s, c: s.call("GET", "/v1/models/scaled:predict", key=c.api_key),
    ),
    "method, control plane": (405, "method_not_allowed", of_the_control_plane("PUT", "/v1/plans")),
    "json": (400, "invalid_json", lambda s, c: predict(s, c, body=b"{")),
    "json, control plane": (400, "invalid_json", of_the_control_plane("POST", "/v1/plans", b"{")),
    "request": (400, "bad_request", lambda s, c: predict(s, c, body={})),
    "input": (400, "invalid_input", lambda s, c: predict(s, c, body={"inputs": {"z": [1]}})),
    "contract": (422, "contract_violated", lambda s, c: predict(s, c, body={"instances": ["1"]})),
    "schema": (422, "invalid_request", of_the_control_plane("POST", "/v1/plans", {"name": 7})),
    "query": (422, "invalid_request", of_the_control_plane("GET", "/v1/plans?limit=0")),
    "range": (422, "invalid_range", of_the_control_plane("GET", "/v1/usage?from=x")),
    "output": (
        422,
        "output_not_finite",
        lambda s, c: predict(s, c, model="reciprocal", body={"instances": [0]}),
    ),
    "rows": (413, "too_many_rows", lambda s, c: predict(s, c, body={"instances": [1] * 5000})),
    "size": (413, "body_too_large", lambda s, c: predict(s, c, body=b" " * 70_000)),
    "size, control plane": (
        413,
        "body_too_large",
        of_the_control_plane("POST", "/v1/plans", b" " * 70_000),
    ),
    "rate": (429, "rate_limited", over_the_rate),
    "quota": (429, "quota_exceeded", over_the_quota),
    "broken model": (503, "model_not_ready", lambda s, c: predict(s, c, model="broken")),
}

per_refusal = pytest.mark.parametrize("name", REFUSALS)


@per_refusal
def test_refusal_is_a_problem_document(v1_server: Server, v1_caller: Caller, name: str) -> None:
    """Section 3.1: the members with their types; the status repeats the answer's own."""
    status, code, ask = REFUSALS[name]
    answer = ask(v1_server, v1_caller)
    document = answer.body
    assert (answer.status, document["status"], document["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(isinstance(document[name], str) for name in ("type", "title", "detail"))
    assert urlsplit(document["type"]).scheme in {"urn", "https"}
    assert all(isinstance(document[name], str) for name in _EXTENSIONS)
    assert document["request_id"] == answer.headers["x-request-id"]


@per_refusal
def test_refusal_is_small_and_not_kept(v1_server: Server, v1_caller: Caller, name: str) -> None:
    """Extension members have the names that section 3.2 asks for; no cache keeps the document."""
    status, code, ask = REFUSALS[name]
    answer = ask(v1_server, v1_caller)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert all(_MEMBER_NAME.fullmatch(name) for name in answer.body)
    assert int(answer.headers["content-length"]) == len(
        json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert int(answer.headers["content-length"]) <= 8192
    assert answer.headers["cache-control"] == "no-store"


@per_refusal
def test_refusal_has_the_headers_of_its_status(
    v1_server: Server, v1_caller: Caller, name: str
) -> None:
    """A challenge with 401, what is allowed with 405, and when to come back with 429 and 503."""
    status, code, ask = REFUSALS[name]
    answer = ask(v1_server, v1_caller)
    assert answer.body["code"] == code
    wanted = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}
    assert {name for name in wanted.values() if name in answer.headers} == (
        {wanted[status]} if status in wanted else set()
    )


def test_same_problem_has_the_same_type_and_title(v1_server: Server, v1_caller: Caller) -> None:
    """Section 3.1.3: a title does not change from one occurrence to the next; the detail may."""
    answers = [
        predict(v1_server, v1_caller, body=body) for body in ({"instances": ["1"]}, {"inputs": "1"})
    ]
    assert len({(answer.body["type"], answer.body["title"]) for answer in answers}) == 1
    assert len({answer.body["detail"] for answer in answers}) == 2


def test_quota_and_rate_have_the_type_of_the_draft(v1_server: Server, v1_caller: Caller) -> None:
    """draft-ietf-httpapi-ratelimit-headers-10: the registered problem type for a used-up quota."""
    types = {ask(v1_server, v1_caller).body["type"] for ask in (over_the_rate, over_the_quota)}
    assert types == {"https://iana.org/assignments/http-problem-types#quota-exceeded"}
