"""Remember how far the ledger was delivered to each destination, and what was put aside.

A position moves after the receiver has taken everything before it, so a crash repeats and never
leaves out; receivers know a repetition by the record's id.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import delete, exists, func, select, text, union, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.usage.delivery_tables import usage_deliveries, usage_undelivered
from gateway.usage.errors import DeliveryTaken
from gateway.usage.ledger import read_only, translated
from gateway.usage.reading import LedgerRecord
from gateway.usage.tables import usage_records

_SECOND_US: Final = 1_000_000
_BEGIN: Final = text(
    "INSERT INTO usage_deliveries"
    " (destination, position, delivered, moved_at_us, holder, held_until_us)"
    " VALUES (:destination, 0, 0, :now_us, '', 0) ON CONFLICT DO NOTHING"
)
_PUT_ASIDE: Final = text(
    "INSERT INTO usage_undelivered"
    " (destination, sequence, request_id, tenant_id, units, reason, noted_at_us)"
    " VALUES (:destination, :sequence, :request_id, :tenant_id, :units, :reason, :noted_at_us)"
    " ON CONFLICT (destination, sequence) DO UPDATE SET reason = excluded.reason"
)


class PutAside(NamedTuple):
    """A record that a destination does not take, and why."""

    record: LedgerRecord
    reason: str


class Undelivered(NamedTuple):
    """The same as it was noted."""

    sequence: int
    request_id: str
    tenant_id: str
    units: int
    reason: str


class Delivery(NamedTuple):
    """How far a destination is."""

    destination: str
    position: int
    delivered: int
    moved_at_us: int
    undelivered: int


class DeliveryBook:
    """Hold one destination for one sender at a time, and move its position."""

    def __init__(
        self, engine: AsyncEngine, destination: str, holder: str, *, hold_seconds: float
    ) -> None:
        """Keep the book of a destination in the name of a sender.

        Args:
            engine: of the ledger.
            destination: its name.
            holder: names the sender.
            hold_seconds: for how long the destination is the sender's after it was heard of.
        """
        self._engine = engine
        self._destination = destination
        self._holder = holder
        self._hold_us = round(hold_seconds * _SECOND_US)

    async def claim(self, *, now_us: int) -> int | None:
        """Hold the destination and return its position; None while another sender holds it.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        table = usage_deliveries.c
        is_free = (table.holder == self._holder) | (table.held_until_us < now_us)
        hold = (
            update(usage_deliveries)
            .where(table.destination == self._destination, is_free)
            .values(holder=self._holder, held_until_us=now_us + self._hold_us)
            .returning(table.position)
        )
        with translated():
            async with self._engine.begin() as connection:
                begun = {"destination": self._destination, "now_us": now_us}
                await connection.execute(_BEGIN, begun)
                found = (await connection.execute(hold)).scalar_one_or_none()
        return None if found is None else int(found)

    async def move(
        self,
        before: int,
        after: int,
        *,
        delivered: int,
        put_aside: Sequence[PutAside],
        now_us: int,
    ) -> None:
        """Write down that everything up to `after` was taken or put aside, in one transaction.

        Raises:
            DeliveryTaken: another sender holds the destination by now, or has moved it.
            LedgerUnavailable: the database did not answer.
        """
        table = usage_deliveries.c
        moved = (
            update(usage_deliveries)
            .where(table.destination == self._destination)
            .where(table.holder == self._holder, table.position == before)
            .values(
                position=after,
                delivered=table.delivered + delivered,
                moved_at_us=now_us,
                held_until_us=now_us + self._hold_us,
            )
        )
        noted = [self._noted(one, now_us) for one in put_aside]
        with translated():
            async with self._engine.begin() as connection:
                if (await connection.execute(moved)).rowcount == 0:
                    raise DeliveryTaken(self._destination)
                if noted:
                    await connection.execute(_PUT_ASIDE, noted)

    async def let_go(self) -> None:
        """Let another sender go on at once.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        table = usage_deliveries.c
        freed = (
            update(usage_deliveries)
            .where(table.destination == self._destination, table.holder == self._holder)
            .values(held_until_us=0)
        )
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(freed)

    async def undelivered(self) -> list[Undelivered]:
        """List what was put aside, in order.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        table = usage_undelivered.c
        statement = (
            select(*(table[name] for name in Undelivered._fields))
            .where(table.destination == self._destination)
            .order_by(table.sequence)
        )
        async with read_only(self._engine) as connection:
            found = (await connection.execute(statement)).all()
        return [Undelivered(*row) for row in found]

    async def settle(self, sequences: Sequence[int]) -> None:
        """Forget what was put aside and is taken now.

        Raises:
            LedgerUnavailable: the database did not answer.
        """
        table = usage_undelivered.c
        settled = delete(usage_undelivered).where(
            table.destination == self._destination, table.sequence.in_(sequences)
        )
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(settled)

    def _noted(self, one: PutAside, now_us: int) -> dict[str, object]:
        names = ("sequence", "request_id", "tenant_id", "units")
        values = {name: getattr(one.record, name) for name in names}
        return values | {
            "destination": self._destination,
            "reason": one.reason,
            "noted_at_us": now_us,
        }


async def list_deliveries(engine: AsyncEngine) -> list[Delivery]:
    """List how far every destination is.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    table, aside = usage_deliveries.c, usage_undelivered.c
    count = (
        select(func.count())
        .where(aside.destination == table.destination)
        .correlate(usage_deliveries)
        .scalar_subquery()
    )
    columns = (table.destination, table.position, table.delivered, table.moved_at_us, count)
    async with read_only(engine) as connection:
        found = await connection.execute(select(*columns).order_by(table.destination))
        return [Delivery(*row) for row in found.all()]


async def lacking_in(connection: AsyncConnection, period: int, *, through: int) -> list[str]:
    """Name the destinations that have not taken every record of a month, within a transaction.

    Cost: reads the records between a position and `through`, the last number of the month.
    """
    table, aside, row = usage_deliveries.c, usage_undelivered.c, usage_records.c
    is_ahead = (row.sequence > table.position) & (row.sequence <= through)
    to_come = exists().where(is_ahead, row.period == period, row.is_test.is_(False))
    behind = select(table.destination).where(to_come)
    refused = (
        select(aside.destination)
        .join(usage_records, row.sequence == aside.sequence)
        .where(row.period == period)
    )
    return sorted(await connection.scalars(union(behind, refused)))
