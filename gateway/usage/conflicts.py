"""Read what came under a request id that the ledger has with other content."""

from typing import NamedTuple

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.usage.ledger import read_only
from gateway.usage.record import UsageRecord
from gateway.usage.tables import usage_conflicts, usage_records


class Conflict(NamedTuple):
    """A record that is on no bill, and the one of its request id that is on the bill."""

    refused: UsageRecord
    """What came later."""

    billed: UsageRecord | None
    """What the ledger has; None where the records of its month are no longer kept."""

    journal_id: str
    """The journal that the refused one came from."""

    @property
    def differences(self) -> tuple[str, ...]:
        """Name the fields that are not the same."""
        if self.billed is None:
            return ()
        fields = zip(UsageRecord._fields, self.billed, self.refused, strict=True)
        return tuple(name for name, billed, refused in fields if billed != refused)


async def list_conflicts(engine: AsyncEngine) -> list[Conflict]:
    """List the records that were refused, by request id.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    kept = usage_conflicts.c
    billed = [usage_records.c[name] for name in UsageRecord._fields]
    statement = (
        select(kept.record, kept.journal_id, *billed)
        .join(usage_records, usage_records.c.request_id == kept.request_id, isouter=True)
        .order_by(kept.request_id, kept.record)
    )
    async with read_only(engine) as connection:
        found = (await connection.execute(statement)).all()
    return [
        Conflict(
            UsageRecord(*orjson.loads(row.record)),
            None if row.request_id is None else UsageRecord(*row[2:]),
            row.journal_id,
        )
        for row in found
    ]
