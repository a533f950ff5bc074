"""What happens to the stack costs nobody an answer that was given: usage stays exact."""

from collections import Counter

import pytest

from tests.compose.composed_stack import SERVICES, ComposedStack
from tests.compose.steady_load import SteadyLoad, steady_load

pytestmark = pytest.mark.stack


def check_bill(stack: ComposedStack, load: SteadyLoad, before: Counter[str]) -> None:
    """Compare what callers saw with what is new in the ledger: I1 and I3 of the invariants."""
    served = set(load.served)
    assert len(served) == len(load.served)
    stack.wait_until(lambda: served <= set(stack.ledger()), "everything served is on the bill")
    rows = Counter(stack.ledger())
    assert max(rows.values()) == 1
    assert len(rows - before) - len(served) <= load.unanswered
    assert stack.usage() == len(rows)


@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_comes_back_and_nothing_is_lost(stack: ComposedStack, service: str) -> None:
    """Each 200 that a caller saw is on the bill once; the engine restarts without a hand."""
    before, restarts = Counter(stack.ledger()), stack.restarts(service)
    with steady_load(stack) as load:
        load.wait_for_more(100)
        stack.kill(service)
        stack.wait_until(lambda: stack.restarts(service) > restarts, f"{service} is restarted")
        stack.wait_until(lambda: stack.is_healthy(service), f"{service} is healthy")
        load.wait_for_more(100)
    check_bill(stack, load, before)


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_killed_keeper_costs_no_prediction(stack: ComposedStack, service: str) -> None:
    """Predictions go on without the database and without Redis."""
    restarts = stack.restarts(service)
    with steady_load(stack) as load:
        load.wait_for_more(100)
        stack.kill(service)
        stack.wait_until(lambda: stack.restarts(service) > restarts, f"{service} is restarted")
        load.wait_for_more(100)
    assert (load.broken, load.refused) == (0, Counter())


def test_killed_redis_remembers_what_it_counted(stack: ComposedStack) -> None:
    """It reads all of its own log; what it drops would let limits begin afresh."""
    assert "Ready to accept connections" in stack.compose("logs", "redis")
    assert "CRITICAL" not in stack.compose("logs", "redis")


def test_gateway_ends_in_time_when_it_is_asked(stack: ComposedStack) -> None:
    """SIGTERM reaches it, and it finishes what was begun before the engine would kill it."""
    stack.compose("stop", "gateway")
    exit_code = stack.inspect("gateway")["State"]["ExitCode"]
    stack.compose("start", "gateway")
    stack.wait_until(lambda: stack.is_healthy("gateway"), "the gateway is healthy")
    assert exit_code == 0


def test_down_and_up_keep_the_data(stack: ComposedStack) -> None:
    """Keys work on and the bill is what it was."""
    demo, usage, ledger = stack.demo, stack.usage(), sorted(stack.ledger())
    stack.down()
    stack.up()
    assert stack.demo == demo
    assert stack.usage() == usage
    assert sorted(stack.ledger()) == ledger
