"""Where a caller stands, as clients are told.

Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 (RateLimit-Policy) and 4 (RateLimit);
both are structured fields (RFC 9651).
"""

import pytest

from tests.conformance.structured_fields import Items, parse_items
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import Answer, Server

BODY = {"instances": [1]}
MONTH_SECONDS = 2_592_000
LONGEST_MONTH_SECONDS = 31 * 86_400
PLANS: dict[str, dict[str, object]] = {
    "both": {"requests_per_second": 0.01, "burst": 3, "units_per_month": 50},
    "rate alone": {"requests_per_second": 2.5, "burst": 7, "units_per_month": None},
    "quota alone": {"requests_per_second": None, "burst": None, "units_per_month": 50},
    "large": {"requests_per_second": 1_000_000, "burst": 10**6, "units_per_month": 10**12},
}

per_plan = pytest.mark.parametrize("limits", PLANS.values(), ids=PLANS.keys())


def caller_with(server: Server, limits: dict[str, object]) -> Caller:
    """Make a key whose plan has these limits."""
    return make_caller(server, make_tenant(server, make_plan(server, **limits)))


def told(answer: Answer) -> tuple[Items, Items]:
    """Read both fields of an answer."""
    return parse_items(answer.headers["ratelimit-policy"]), parse_items(answer.headers["ratelimit"])


@per_plan
def test_fields_are_structured_and_hold_what_the_draft_asks(
    v1_server: Server, limits: dict[str, object]
) -> None:
    """Section 3: `q` is there and not negative; section 4: so is `r`; and nothing else."""
    caller = caller_with(v1_server, limits)
    policies, standing = told(v1_server.predict(caller.api_key, BODY, model="scaled"))
    assert all(item.keys() == {"q", "w"} for item in policies.values())
    assert all(item.keys() == {"r", "t"} for item in standing.values())
    assert all(number >= 0 for item in policies.values() for number in item.values())
    assert all(number >= 0 for item in standing.values() for number in item.values())


@per_plan
def test_each_limit_refers_to_a_policy(v1_server: Server, limits: dict[str, object]) -> None:
    """Section 4: a name in RateLimit is a name in RateLimit-Policy, and no limit is left out."""
    caller = caller_with(v1_server, limits)
    policies, standing = told(v1_server.predict(caller.api_key, BODY, model="scaled"))
    wanted = {"burst": limits["burst"], "month": limits["units_per_month"]}
    quotas = {name: quota for name, quota in wanted.items() if quota is not None}
    assert {name: item["q"] for name, item in policies.items()} == quotas
    assert list(standing) == list(policies)


@per_plan
def test_remaining_is_within_the_quota_and_reset_within_the_window(
    v1_server: Server, limits: dict[str, object]
) -> None:
    """What is left is less than there was; no reset is farther away than the window is long."""
    caller = caller_with(v1_server, limits)
    policies, standing = told(v1_server.predict(caller.api_key, BODY, model="scaled"))
    for name, item in standing.items():
        longest = LONGEST_MONTH_SECONDS if name == "month" else policies[name]["w"]
        assert item["r"] <= policies[name]["q"]
        assert item["t"] <= longest
    if "month" in policies:
        assert policies["month"]["w"] == MONTH_SECONDS


def test_refusal_waits_for_the_limit_that_binds(v1_server: Server) -> None:
    """Retry-After is never earlier than the reset of a limit with nothing left."""
    caller = caller_with(v1_server, {"units_per_month": 1})
    answers = [v1_server.predict(caller.api_key, BODY, model="scaled") for _ in range(2)]
    _, standing = told(answers[1])
    assert [answer.status for answer in answers] == [200, 429]
    assert standing["month"]["r"] == 0
    assert int(answers[1].headers["retry-after"]) >= standing["month"]["t"]


def test_request_past_what_remains_is_refused_whole(v1_server: Server) -> None:
    """Two rows do not fit into one unit, and the unit is still there afterwards."""
    caller = caller_with(v1_server, {"units_per_month": 1})
    refused = v1_server.predict(caller.api_key, {"instances": [1, 2]}, model="scaled")
    _, standing = told(refused)
    assert (refused.status, standing["month"]["r"]) == (429, 1)
    assert v1_server.predict(caller.api_key, BODY, model="scaled").status == 200


def test_unlimited_plan_has_no_fields(v1_server: Server) -> None:
    """Nothing is promised where nothing is limited."""
    caller = caller_with(
        v1_server, {"requests_per_second": None, "burst": None, "units_per_month": None}
    )
    answer = v1_server.predict(caller.api_key, BODY, model="scaled")
    assert not {"ratelimit", "ratelimit-policy"} & answer.headers.keys()


@pytest.mark.parametrize(
    "field",
    ["", '"a";r=1,', "a;r=1", '"a";r=1.5', '"a" "b"', '"a";R=1', '"a";r=1, "a";r=2', '"a;r=1'],
)
def test_reader_of_the_fields_is_strict(field: str) -> None:
    """The tests above are only as good as their parser."""
    with pytest.raises(ValueError, match=r".+"):
        parse_items(field)
