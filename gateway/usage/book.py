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
    " RETURNING last_sequence - :count, open_from_us"
)
_SET: Final = text("UPDATE usage_book SET last_sequence = :last_sequence")


class Page(NamedTuple):
    """Where a transaction writes on."""

    last_sequence: int
    """The number that was given last."""

    open_from_us: int
    """The first moment that is not closed: what occurred before it counts from there."""


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
