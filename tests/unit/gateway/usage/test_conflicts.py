"""What comes under a known request id with other content is listed with what was billed."""

from sqlalchemy import delete

from gateway.usage.conflicts import Conflict, list_conflicts
from gateway.usage.tables import usage_records
from tests.unit.gateway.usage.conftest import Bill, record_of
from tests.unit.gateway.usage.test_numbers import take


async def test_conflicts_are_listed_with_what_was_billed(bill: Bill) -> None:
    """In the order of their ids, and with the fields that are not the same."""
    billed = [record_of("b"), record_of("a", rows=7, is_test=True), record_of("c")]
    refused = [record_of("b", units=2, model="other"), record_of("a", rows=7)]
    await take(bill, *billed)
    await take(bill, *refused, record_of("c"))
    found = await list_conflicts(bill.engine)
    assert found == [Conflict(refused[1], billed[1], "j"), Conflict(refused[0], billed[0], "j")]
    assert [one.differences for one in found] == [("is_test",), ("model", "units")]


async def test_conflict_outlives_what_was_billed(bill: Bill) -> None:
    """The records of a month may be pruned; what is owed is still told."""
    await take(bill, record_of("a"))
    await take(bill, late := record_of("a", units=2))
    async with bill.engine.begin() as connection:
        await connection.execute(delete(usage_records))
    [found] = await list_conflicts(bill.engine)
    assert found == Conflict(late, None, "j")
    assert found.differences == ()
