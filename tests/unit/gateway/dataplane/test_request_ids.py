"""The id of a request is ours, or the trusted proxy's, and never the caller's."""

import re

import pytest

from gateway.dataplane.request_ids import RequestIds

GIVEN = b"0123456789abcdef0123456789abcdef"
Headers = list[tuple[bytes, bytes]]


def test_ids_are_unique_and_sorted() -> None:
    """The ledger counts by them and keeps neighbours together."""
    ids = RequestIds()
    minted = [ids.mint() for _ in range(1000)]
    assert len(set(minted)) == 1000
    assert minted == sorted(minted)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in minted)


def test_id_of_a_trusted_proxy_is_taken_over() -> None:
    """Nginx's log, ours and the bill speak of the same request."""
    ids = RequestIds(trusts_proxy=True)
    assert ids.take([(b"host", b"x"), (b"x-request-id", GIVEN)]) == GIVEN.decode()


def test_id_of_a_direct_caller_has_no_effect() -> None:
    """Nobody chooses under which id he is billed."""
    assert RequestIds().take([(b"x-request-id", GIVEN)]) != GIVEN.decode()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-request-id", GIVEN), (b"x-request-id", GIVEN)],
        [(b"x-request-id", GIVEN[:-1])],
        [(b"x-request-id", GIVEN + b"0")],
        [(b"x-request-id", GIVEN.upper())],
        [(b"x-request-id", GIVEN[:-1] + b"\n")],
        [(b"x-request-id", b"0123456789abcdef-0123456789abcde")],
        [(b"x-request-id", "\u0661".encode() * 16)],
        [(b"x-request-id", b"")],
    ],
)
def test_id_that_is_not_well_formed_is_ignored(headers: Headers) -> None:
    """Missing, doubled, of another length, case or alphabet: an own one is minted."""
    taken = RequestIds(trusts_proxy=True).take(headers)
    assert re.fullmatch("[0-9a-f]{32}", taken)
    assert taken.encode() not in [value for _, value in headers]
