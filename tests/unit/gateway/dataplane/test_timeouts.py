"""`X-Request-Timeout`: how long a client waits, in the units that other gateways write."""

import pytest

from gateway.dataplane.timeouts import read_timeout
from gateway.errors import RequestInvalid

MOST_SECONDS = 30.0


def headers(*values: bytes) -> list[tuple[bytes, bytes]]:
    """Make the headers of a request."""
    named = [(b"x-request-timeout", value) for value in values]
    return [(b"host", b"localhost"), *named]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"2", 2.0),
        (b"0.25", 0.25),
        (b"2s", 2.0),
        (b"250ms", 0.25),
        (b"1500us", 0.0015),
        (b" 3 ", 3.0),
        (b"3600", MOST_SECONDS),
    ],
)
def test_number_with_or_without_a_unit_is_read(value: bytes, seconds: float) -> None:
    """A bare number is seconds; the server's own limit always holds."""
    assert read_timeout(headers(value), MOST_SECONDS) == pytest.approx(seconds)


def test_without_the_header_the_servers_limit_holds() -> None:
    """Nothing is asked of clients."""
    assert read_timeout(headers(), MOST_SECONDS) == MOST_SECONDS


@pytest.mark.parametrize(
    "value", [b"", b"0", b"0ms", b"-1", b"1m", b"1 s", b"1e3", b"inf", b"9" * 10, b"\xb2"]
)
def test_anything_else_is_refused(value: bytes) -> None:
    """A time that nobody can tell is no reason to guess."""
    with pytest.raises(RequestInvalid):
        read_timeout(headers(value), MOST_SECONDS)


def test_two_times_are_refused() -> None:
    """Nobody can tell which one is meant."""
    with pytest.raises(RequestInvalid):
        read_timeout(headers(b"1", b"1"), MOST_SECONDS)
