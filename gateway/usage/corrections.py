"""Correct the bill: a signed record in the open month that names the one it corrects.

What was recorded is never changed; whoever adds up the records adds up their corrections.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, Row, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.usage.book import take_book
from gateway.usage.errors import CorrectionExists, CorrectionRefused, RecordNotFound
from gateway.usage.periods import period_of
from gateway.usage.promises import hold_promises
from gateway.usage.tables import usage_records
from gateway.usage.totals import add_totals

OUTCOME: Final = "correction"
_INHERITED: Final = ("tenant_id", "key_id", "model", "version", "protocol", "is_test")
_NOTHING: Final = ("queue_us", "compute_us", "bytes_in", "bytes_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is added to the bill of a request; rows and units have a sign."""

    correction_id: str
    """Unique among the ids of all records: the same one again does nothing."""
    request_id: str
    """Of the record that is corrected."""
    rows: int
    units: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction on the bill."""

    correction: Correction
    sequence: int
    occurred_at_us: int
    counted_at_us: int
    period: int
    tenant_id: str
    model: str
    is_new: bool = True
    """It was not on the bill before."""


async def add_correction(
    connection: AsyncConnection, correction: Correction, *, now_us: int, is_forced: bool
) -> Corrected:
    """Put a correction on the bill within a transaction; one that is there already stays alone.

    The book is held from before the sums are read, so of two corrections at once the second sees
    the first. It counts at no moment before which readers were promised that nothing is added,
    however late it comes to the book, and however slow the clock of its host is.

    Raises:
        RecordNotFound: no record of a prediction has the id.
        CorrectionExists: the id of the correction stands for another record.
        CorrectionRefused: it adds nothing, or would leave less than nothing and is not forced.
    """
    if correction.rows == correction.units == 0:
        raise CorrectionRefused("a correction of no rows and no units corrects nothing")
    page = await take_book(connection, count=0)
    row = usage_records.c
    named = select(usage_records)
    known = (
        await connection.execute(named.where(row.request_id == correction.correction_id))
    ).first()
    if known is not None:
        return _known(known, correction)
    originals = named.where(row.request_id == correction.request_id, row.outcome == "ok")
    original = (await connection.execute(originals)).first()
    if original is None:
        raise RecordNotFound
    if not is_forced:
        await _check_rest(connection, original, correction)
    counted_at_us = max(now_us, page.open_from_us, await hold_promises(connection))
    values = _values(original, correction) | {
        "sequence": page.last_sequence + 1,
        "occurred_at_us": now_us,
        "counted_at_us": counted_at_us,
        "period": period_of(counted_at_us),
    }
    page = await take_book(connection, count=1)
    await connection.execute(insert(usage_records).values(**values))
    await add_totals(connection, page)
    added = (
        await connection.execute(named.where(row.request_id == correction.correction_id))
    ).one()
    return _corrected(added)


def _values(original: Row[Any], correction: Correction) -> dict[str, object]:
    """Return the columns of a correction that do not depend on when it is made."""
    inherited = {name: getattr(original, name) for name in _INHERITED}
    return (
        inherited
        | dict.fromkeys(_NOTHING, 0)
        | {
            "request_id": correction.correction_id,
            "rows": correction.rows,
            "units": correction.units,
            "outcome": OUTCOME,
            "corrects": correction.request_id,
            "journal_id": "",
        }
    )


async def _check_rest(
    connection: AsyncConnection, original: Row[Any], correction: Correction
) -> None:
    """Pass if something, or nothing, is left of the original, and not less.

    Raises:
        CorrectionRefused: less than nothing would be.
    """
    row = usage_records.c
    sums = (
        func.coalesce(cast(func.sum(column), BigInteger), 0) for column in (row.rows, row.units)
    )
    query = select(*sums).where(row.corrects == correction.request_id)
    [rows, units] = map(int, (await connection.execute(query)).one())
    left = (original.rows + rows + correction.rows, original.units + units + correction.units)
    if min(left) < 0:
        raise CorrectionRefused(
            f"{original.rows + rows} rows and {original.units + units} units are left of the "
            "request: no more can be taken away"
        )


def _known(row: Row[Any], correction: Correction) -> Corrected:
    """Return a correction that is on the bill already.

    Raises:
        CorrectionExists: it is another one, or none.
    """
    known = _corrected(row)
    if row.outcome != OUTCOME or known.correction != correction:
        raise CorrectionExists
    return replace(known, is_new=False)


def _corrected(row: Row[Any]) -> Corrected:
    return Corrected(
        correction=Correction(
            correction_id=row.request_id, request_id=row.corrects, rows=row.rows, units=row.units
        ),
        sequence=row.sequence,
        occurred_at_us=row.occurred_at_us,
        counted_at_us=row.counted_at_us,
        period=row.period,
        tenant_id=row.tenant_id,
        model=row.model,
    )
