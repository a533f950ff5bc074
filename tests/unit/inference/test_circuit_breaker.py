"""The circuit breaker: how many failures it takes, how long it stays, and what closes it."""

from dataclasses import dataclass

import pytest

from inference.circuit_breaker import CircuitBreaker


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 100.0

    def __call__(self) -> float:
        """Read it."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Make a clock."""
    return Clock()


def fail(breaker: CircuitBreaker, times: int) -> None:
    """Let it fail several times in a row."""
    for _ in range(times):
        breaker.failed()


def test_few_failures_are_let_through(clock: Clock) -> None:
    """Four in a row are no reason."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 4)
    assert breaker.seconds_closed() == 0


def test_five_failures_in_a_row_shut_it(clock: Clock) -> None:
    """For a second; after that somebody may try."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 5)
    assert breaker.seconds_closed() == 1
    clock.seconds += 1
    assert breaker.seconds_closed() == 0


def test_answer_between_failures_starts_anew(clock: Clock) -> None:
    """Only failures in a row count."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)
    assert breaker.seconds_closed() == 0


def test_pause_doubles_up_to_half_a_minute(clock: Clock) -> None:
    """An engine that stays away is asked more and more seldom."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 4)
    pauses = []
    for _ in range(8):
        breaker.failed()
        pauses.append(breaker.seconds_closed())
        clock.seconds += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_one_answer_makes_it_forget(clock: Clock) -> None:
    """The next failures begin with the first pause."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 8)
    clock.seconds += 60
    breaker.succeeded()
    fail(breaker, 5)
    assert breaker.seconds_closed() == 1
