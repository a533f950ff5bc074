"""Limits over the wire: exactly what the plan allows, told honestly, and free when refused."""

import asyncio
import re

from tests.load import Caller, ClientLog, run_load
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import Answer, Server

ATTEMPTS = 400
TASKS = 8


def hammer(server: Server, caller: Caller) -> ClientLog:
    """Send more than is allowed from eight tasks at once."""
    load = run_load(
        server.port,
        [caller],
        server.demo["example"],
        requests=ATTEMPTS,
        connections=TASKS,
    )
    return asyncio.run(load)


def remaining(answer: Answer, policy: str) -> int:
    """Read what a `RateLimit` header says is left of a policy."""
    found = re.search(rf'"{policy}";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found, answer.headers
    return int(found[1])


def caller_with(server: Server, **limits: object) -> Caller:
    """Make a key whose plan has these limits."""
    plan_id = make_plan(server, **limits)
    return make_caller(server, make_tenant(server, plan_id))


def units_billed(server: Server, caller: Caller) -> int:
    """Read what the tenant's bill says."""
    path = f"/v1/usage?tenant_id={caller.tenant_id}"
    data = server.call("GET", path, key=server.demo["billing_key"]).body["data"]
    return sum(item["units"] for item in data)


def test_eight_tasks_get_exactly_the_burst(server: Server) -> None:
    """A rate too slow to refill during the test admits the burst and not one more."""
    caller = caller_with(server, requests_per_second=0.001, burst=37)
    log = hammer(server, caller)
    assert len(log.served) == 37
    assert log.refused == {429: ATTEMPTS - 37}


def test_refused_calls_cost_no_quota(server: Server) -> None:
    """After a storm of refusals the quota is short of the answered rows alone."""
    caller = caller_with(server, requests_per_second=0.001, burst=5, units_per_month=1000)
    log = hammer(server, caller)
    rows = sum(served.rows for served in log.served)
    refusal = server.predict(caller.api_key, server.demo["example"])
    assert refusal.status == 429
    assert remaining(refusal, "month") == 1000 - rows
    assert units_billed(server, caller) == rows


def test_quota_admits_exactly_its_units(server: Server) -> None:
    """Requests of one to three rows use up the month to the last unit they can."""
    caller = caller_with(server, units_per_month=100)
    log = hammer(server, caller)
    rows = sum(served.rows for served in log.served)
    last = server.predict(caller.api_key, server.demo["example"])
    assert rows == units_billed(server, caller) == 100
    assert (last.status, last.body["code"]) == (429, "quota_exceeded")


def test_headers_count_down_and_name_the_policy(server: Server) -> None:
    """Each answer says what is left, and the refusal when to come back."""
    caller = caller_with(server, requests_per_second=0.01, burst=3, units_per_month=50)
    answers = [server.predict(caller.api_key, server.demo["example"]) for _ in range(4)]
    assert [remaining(answer, "burst") for answer in answers] == [2, 1, 0, 0]
    assert answers[0].headers["ratelimit-policy"] == ('"burst";q=3;w=300, "month";q=50;w=2592000')
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert 90 <= int(answers[3].headers["retry-after"]) <= 100


def test_key_override_is_tighter_than_the_plan(server: Server) -> None:
    """A key may have limits of its own."""
    tenant_id = make_tenant(server, make_plan(server, requests_per_second=1000, burst=1000))
    limits = {"requests_per_second": 0.001, "burst": 2}
    caller = make_caller(server, tenant_id, limits=limits)
    assert len(hammer(server, caller).served) == 2


def test_test_key_is_limited_and_not_billed(server: Server) -> None:
    """A test key answers like any other and costs nothing."""
    tenant_id = make_tenant(server, make_plan(server, units_per_month=10))
    caller = make_caller(server, tenant_id, test=True)
    log = hammer(server, caller)
    answer = server.predict(caller.api_key, server.demo["example"])
    assert len(log.served) == ATTEMPTS
    assert caller.api_key.startswith("tg_test_")
    assert answer.headers["tollgate-units"] == "0"
    assert units_billed(server, caller) == 0


def test_quota_survives_a_restart(own_server: Server) -> None:
    """What was used this month is read back from the ledger."""
    caller = caller_with(own_server, units_per_month=20)
    for _ in range(15):
        assert own_server.predict(caller.api_key, own_server.demo["example"]).status == 200
    own_server.kill()
    own_server.start()
    statuses = [
        own_server.predict(caller.api_key, own_server.demo["example"]).status for _ in range(7)
    ]
    assert statuses == [200] * 5 + [429] * 2


def test_platform_may_give_a_key_more_than_its_plan(server: Server) -> None:
    """A tenant's own keys can only be tighter; the seller decides otherwise key by key."""
    plan_id = make_plan(server, requests_per_second=0.001, burst=2)
    tenant_id = make_tenant(server, plan_id)
    own = make_caller(server, tenant_id, scopes=["predict", "keys:write"])
    limits = {"requests_per_second": 0.001, "burst": 9}
    raised = make_caller(server, tenant_id, limits=limits)
    refused = server.call(
        "POST",
        f"/v1/tenants/{tenant_id}/keys",
        key=own.api_key,
        body={"name": "k", "scopes": ["predict"], "limits": limits},
    )
    assert len(hammer(server, raised).served) == 9
    assert (refused.status, refused.body["code"]) == (422, "invalid_request")
