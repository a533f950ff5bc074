"""The book of the ledger: one row that gives out numbers and says from when the bill is open.

Whoever adds records takes it first. PostgreSQL then lets one of them after the other commit, in the
order of their numbers, so a reader who has seen a number has seen all before it; SQLite has one
writer anyway.
"""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TAKE: Final = text(
    "UPDATE usage_book SET last_sequence = last_sequence + :count"
    " RETURNING last_sequence - :count, open_from_us, folded_through_us, pruned_through_us"
)
_SET: Final = text("UPDATE usage_book SET last_sequence = :last_sequence")
_SET_FOLDED: Final = text("UPDATE usage_book SET folded_through_us = :folded_through_us")
_SET_PRUNED: Final = text("UPDATE usage_book SET pruned_through_us = :pruned_through_us")


class Page(NamedTuple):
    """Where a transaction writes on."""

    last_sequence: int
    """The number that was given last."""

    open_from_us: int
    """The first moment that is not closed: what occurred before it counts from there."""

    folded_through_us: int
    """Hours before it are in the totals by day and month, see `gateway.usage.totals`."""

    pruned_through_us: int
    """What occurred before it may have been counted and removed, see `gateway.usage.pruning`."""


async def take_book(connection: AsyncConnection, *, count: int) -> Page:
    """Hold the book until the transaction ends, take numbers, and return where it stood before.

    Threat: records that were numbered without it could be committed out of order, and a reader who
    goes on after the last number would never see them.
    """
    [row] = await connection.execute(_TAKE, {"count": count})
    return Page(*row)


async def return_numbers(connection: AsyncConnection, *, last_sequence: int) -> None:
    """Give the numbers back that were taken and not used; the caller holds the book."""
    await connection.execute(_SET, {"last_sequence": last_sequence})


async def set_folded(connection: AsyncConnection, *, folded_through_us: int) -> None:
    """Say how far hours are folded; the caller holds the book."""
    await connection.execute(_SET_FOLDED, {"folded_through_us": folded_through_us})


async def set_pruned(connection: AsyncConnection, *, pruned_through_us: int) -> None:
    """Say which records may be removed from now on; the caller holds the book."""
    await connection.execute(_SET_PRUNED, {"pruned_through_us": pruned_through_us})
