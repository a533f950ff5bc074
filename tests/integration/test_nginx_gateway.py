"""Nginx and the gateway agree: on caps, codes, request ids, who calls and what a path is."""

from collections.abc import Iterator

import httpx
import pytest

from tests.edge import ask, open_client, send_tls
from tests.fronted import Front, running_front
from tests.integration.test_hostile_http import REFUSED, Sender
from tests.load import Caller
from tests.population import populate
from tests.serving import Answer
from tests.wire import statuses

MAX_BODY_BYTES = 4096
ATTEMPTS = 5
PREDICT = "/v1/models/housing:predict"
MENDED = {"bare line feeds", "HTTP/0.9"}
"""What Nginx takes, as RFC 9112 lets it (section 2.2), and passes on as a decent request."""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Run both with a small cap."""
    folder = tmp_path_factory.mktemp("front")
    settings = {"max_body_bytes": str(MAX_BODY_BYTES), "failed_attempts_per_minute": str(ATTEMPTS)}
    nginx = {"TOLLGATE_MAX_BODY_BYTES": str(MAX_BODY_BYTES)}
    with running_front(folder, settings=settings, nginx=nginx) as running:
        yield running


@pytest.fixture(scope="module")
def caller(front: Front) -> Caller:
    """Make somebody who may predict."""
    return populate(front.stack, tenants=1, keys_each=1)[0]


def predict(front: Front, caller: Caller, *, http2: bool, **headers: str) -> httpx.Response:
    """Ask for a prediction over TLS."""
    given = {"Authorization": f"Bearer {caller.api_key}"} | headers
    with open_client(front.nginx, http2=http2) as client:
        return client.post(PREDICT, json=front.stack.demo["example"], headers=given, timeout=60)


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_prediction_is_served(front: Front, caller: Caller, *, http2: bool) -> None:
    """Over TLS, a socket and a model, and back."""
    answer = predict(front, caller, http2=http2)
    assert (answer.status_code, answer.http_version == "HTTP/2") == (200, http2)
    assert len(answer.json()["predictions"]) == 1


def test_request_has_one_id_everywhere(front: Front, caller: Caller) -> None:
    """Nginx names it: the answer, its log and the bill agree."""
    request_id = predict(front, caller, http2=True).headers["x-request-id"]
    assert front.nginx.logged(request_id)["path"] == PREDICT
    assert front.billed(caller.tenant_id).count(request_id) == 1


def test_client_cannot_name_its_request(front: Front, caller: Caller) -> None:
    """The id of somebody else's request, sent along, has no effect."""
    first = predict(front, caller, http2=True).headers["x-request-id"]
    second = predict(front, caller, http2=True, **{"X-Request-ID": first}).headers["x-request-id"]
    assert second != first
    assert front.billed(caller.tenant_id).count(second) == 1


def test_error_of_the_gateway_has_the_id_of_nginx(front: Front) -> None:
    """In the header, in the body and in the log."""
    answer = ask(front.nginx, "GET", "/v1/nothing")
    assert answer.body["request_id"] == answer.headers["x-request-id"]
    assert front.nginx.logged(answer.body["request_id"])["upstream_status"] == "404"


def told(answer: Answer) -> dict[str, object]:
    """Take from a problem all but the request's id."""
    return {name: value for name, value in answer.body.items() if name != "request_id"}


def test_cap_is_told_alike(front: Front, caller: Caller) -> None:
    """Nginx refuses the byte that the gateway would refuse, in the same words."""
    body = b" " * (MAX_BODY_BYTES + 1)
    direct = front.stack.call("POST", PREDICT, key=caller.api_key, body=body)
    through = ask(
        front.nginx, "POST", PREDICT, f"Authorization: Bearer {caller.api_key}", body=body
    )
    assert "x-request-id" in through.headers
    assert front.nginx.logged(through.body["request_id"])["upstream_status"] == ""
    assert told(through) == told(direct)


def test_body_within_the_cap_reaches_the_gateway(front: Front, caller: Caller) -> None:
    """To the byte."""
    body = b" " * MAX_BODY_BYTES
    answer = ask(front.nginx, "POST", PREDICT, f"Authorization: Bearer {caller.api_key}", body=body)
    assert answer.body["code"] == "invalid_json"


@pytest.mark.parametrize(
    ("target", "code"),
    [("/v1/models?api_key=tg_live_x", "credential_in_url"), ("/v1/nothing", "not_found")],
)
def test_code_means_the_same(front: Front, target: str, code: str) -> None:
    """Whoever of the two answers."""
    through, direct = ask(front.nginx, "GET", target), front.stack.call("GET", target)
    assert (through.status, through.body["code"]) == (direct.status, code)
    assert (direct.body["code"], direct.body["title"]) == (code, through.body["title"])


HOSTILE_TARGETS = [
    "/v1//plans",
    "//v1/plans",
    "/v1/./plans",
    "/v1/plans/.",
    "/v1/plans;x=y",
    "/v1/plans%3bx",
    "/v1/plans%00",
    "/v1/plans%2f",
    "/v1/models%2f..%2fplans",
    "/v1/models/../plans",
    "/v1/models/..%2fplans",
    "/v1/models/%2e%2e/plans",
    "/v1/models/%252e%252e/plans",
    "/v1/models/housing/..;/../plans",
    "/%2e%2e/v1/plans",
    "/v1\\plans",
    "/v1%5cplans",
    "/V1/plans",
    "/v1/plans%20",
    "/v1/plans%0a",
]


@pytest.mark.parametrize("target", HOSTILE_TARGETS)
def test_hostile_path_reaches_no_route(front: Front, target: str) -> None:
    """Not even an admin reads the plans under another name."""
    admin = f"Authorization: Bearer {front.stack.demo['admin_key']}"
    answer = ask(front.nginx, "GET", target, admin)
    assert answer.status in range(400, 500)
    assert "data" not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/v1//models/housing:predict",
        "/v1/models/x/../housing:predict",
        "/v1/models/%2e%2e/models/housing:predict",
        "/v1/models/housing%3apredict",
        "/v1/models%2fhousing:predict",
        "/v1/models/housing:predict;x",
        "/v1/models/housing%00:predict",
    ],
)
def test_hostile_path_predicts_nothing(front: Front, caller: Caller, target: str) -> None:
    """A prediction has one name."""
    before = len(front.billed(caller.tenant_id))
    answer = ask(front.nginx, "POST", target, f"Authorization: Bearer {caller.api_key}", body=b"{}")
    assert answer.status in (400, 404, 405)
    assert len(front.billed(caller.tenant_id)) == before


def test_second_credential_is_refused(front: Front, caller: Caller) -> None:
    """Whichever of the two hops sees it first."""
    line = f"Authorization: Bearer {caller.api_key}"
    assert ask(front.nginx, "GET", "/v1/models", line, line).status == 400


def test_guesses_are_counted_by_the_real_address(front: Front) -> None:
    """A client that names another address with each guess is stopped, and nobody else is."""
    guess = "Authorization: Bearer tg_live_wrong"
    answered = [
        ask(
            front.nginx,
            "GET",
            "/v1/models",
            guess,
            f"X-Forwarded-For: 192.0.2.{n}",
            source="127.0.0.31",
        ).status
        for n in range(ATTEMPTS + 2)
    ]
    assert (answered[0], answered[-1]) == (401, 429)
    assert ask(front.nginx, "GET", "/v1/models", guess, source="127.0.0.32").status == 401


@pytest.fixture(scope="module")
def sender(front: Front) -> Sender:
    """Make somebody who sends strange bytes."""
    return Sender(front.stack)


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - MENDED))
def test_indecent_request_is_refused_once(front: Front, sender: Sender, name: str) -> None:
    """By Nginx or by the gateway: one answer, no bill, and nothing left on the way between."""
    before = sender.rows_billed()
    request = REFUSED[name](sender).replace(b"Host: x", b"Host: localhost")
    [status] = statuses(send_tls(front.nginx, request))
    assert status in range(400, 500) or status == 501
    assert sender.rows_billed() == before
