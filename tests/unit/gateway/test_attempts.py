"""Attempts are counted per address, in bounded memory, and never against a good credential."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import CredentialInvalid, CredentialMissing, TenantSuspended
from gateway.attempts import AttemptWindows, ClientAttempts, FailedAttempts, Tally
from gateway.errors import AddressLimited, ClientLimited, CredentialInUrl


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Say what time it is."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Start a clock."""
    return Clock()


def _failed(clock: Clock, limit: int = 2) -> FailedAttempts:
    return FailedAttempts(limit, AttemptWindows(now=clock), trusts_proxy=False)


def _from(address: str) -> dict[str, object]:
    return {"client": (address, 1), "headers": []}


def test_window_counts_until_it_ends(clock: Clock) -> None:
    """Events add up for a minute from the first one."""
    windows = AttemptWindows(now=clock)
    windows.add("a")
    clock.seconds += 59.0
    assert windows.add("a") == Tally(2, 1.0)
    clock.seconds += 1.0
    assert windows.add("a") == Tally(1, 60.0)


def test_keys_are_counted_apart(clock: Clock) -> None:
    """One address uses up nothing of another's."""
    windows = AttemptWindows(now=clock)
    windows.add("a", 5)
    assert windows.add("b").events == 1


def test_reading_counts_nothing(clock: Clock) -> None:
    """An address is not remembered for being looked up."""
    windows = AttemptWindows(now=clock)
    assert windows.read("a") == Tally(0, 0.0)
    assert len(windows) == 0


def test_ended_windows_are_forgotten(clock: Clock) -> None:
    """Addresses that are gone cost no memory."""
    windows = AttemptWindows(now=clock)
    for number in range(100):
        windows.add(str(number))
    clock.seconds += 60.0
    windows.add("a")
    assert len(windows) == 1


def test_full_table_counts_newcomers_together(clock: Clock) -> None:
    """Many addresses gain nothing: those without a window share one, and the others keep theirs."""
    windows = AttemptWindows(now=clock, max_keys=3)
    for address in "abc":
        windows.add(address, 10)
    assert [windows.add(address).events for address in "defg"] == [1, 2, 3, 4]
    assert windows.add("a").events == 11
    assert len(windows) == 4


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=200))
def test_memory_is_bounded_and_every_event_counted(events: list[tuple[int, int]]) -> None:
    """Whatever comes, there are never more windows than keys and the shared one."""
    clock = Clock()
    windows = AttemptWindows(now=clock, max_keys=5)
    for key, pause in events:
        clock.seconds += pause
        tally = windows.add(str(key))
        assert tally.events >= 1
        assert 0 < tally.seconds_left <= 60
        assert len(windows) <= 6


def test_failures_beyond_the_limit_are_told_to_wait(clock: Clock) -> None:
    """The answer says when the address may try again."""
    failed, error = _failed(clock), CredentialInvalid("wrong secret")
    assert failed.judge(_from("192.0.2.7"), error) is error
    clock.seconds += 30.5
    assert failed.judge(_from("192.0.2.7"), error) is error
    refusal = failed.judge(_from("192.0.2.7"), error)
    assert isinstance(refusal, AddressLimited)
    assert refusal.retry_after_seconds == 30


def test_refusals_do_not_prolong_the_wait(clock: Clock) -> None:
    """Who is told to wait a minute waits a minute, however often it asks."""
    failed, error = _failed(clock), CredentialMissing()
    for _ in range(60):
        failed.judge(_from("192.0.2.7"), error)
        clock.seconds += 1.0
    assert failed.judge(_from("192.0.2.7"), error) is error


def test_every_failure_counts_alike(clock: Clock) -> None:
    """Which credential was unknown and which was wrong does not show in when the limit is met."""
    reasons = ("unknown key id", "wrong secret", "expired", "revoked")
    kinds = [CredentialMissing(), *(CredentialInvalid(reason) for reason in reasons)]
    for error in kinds:
        failed = _failed(clock, limit=1)
        assert failed.judge(_from("192.0.2.7"), error) is error
        assert isinstance(failed.judge(_from("192.0.2.7"), error), AddressLimited)


@pytest.mark.parametrize("error", [TenantSuspended(), CredentialInUrl(), ValueError()])
def test_other_errors_are_left_alone(clock: Clock, error: Exception) -> None:
    """Only a credential that was looked at and refused is an attempt."""
    failed = _failed(clock, limit=1)
    assert [failed.judge(_from("192.0.2.7"), error) for _ in range(3)] == [error] * 3


def test_operator_is_told_once_a_window(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A guesser fills no log."""
    failed = _failed(clock)
    for _ in range(50):
        failed.judge(_from("192.0.2.7"), CredentialMissing())
    [message] = caplog.messages
    assert message.startswith("192.0.2.7 ")


def test_failures_are_counted_for_the_client_that_was_named(clock: Clock) -> None:
    """From whichever address; the error stays what it was until there are too many."""
    attempts = ClientAttempts(2, AttemptWindows(now=clock))
    error = CredentialInvalid("wrong")
    judged = [attempts.judge("cli_a", error) for _ in range(3)]
    assert judged[:2] == [error, error]
    assert isinstance(judged[2], ClientLimited)
    assert judged[2].retry_after_seconds == 60
    assert attempts.judge("cli_b", error) is error


def test_names_without_end_are_not_remembered(clock: Clock) -> None:
    """A stranger chooses what is counted, and not how much memory that takes."""
    windows = AttemptWindows(now=clock)
    attempts = ClientAttempts(1, windows)
    for tail in ("a", "b"):
        attempts.judge("c" * 64 + tail, CredentialInvalid("wrong"))
    assert len(windows) == 1
