"""A correction is a signed record in the open month that names the one it corrects."""

import asyncio
import json

import pytest

from gateway.usage.corrections import Corrected, Correction
from gateway.usage.errors import CorrectionExists, CorrectionRefused, RecordNotFound
from gateway.usage.period_states import period_states
from gateway.usage.reports import UsageQuery, usage_report
from tests.actors import TESTER
from tests.unit.gateway.billing.conftest import DECEMBER, MIDNIGHT_US, NOVEMBER, Books, november
from tests.unit.gateway.usage.conftest import record_of

DAY_US = 86_400_000_000


async def correct(
    books: Books,
    *,
    rows: int = -1,
    units: int = -1,
    correction_id: str = "cor_1",
    request_id: str = "a",
    is_forced: bool = False,
) -> Corrected:
    """Correct the bill of a request."""
    correction = Correction(
        correction_id=correction_id, request_id=request_id, rows=rows, units=units
    )
    return await books.store.correct(
        correction, reason="a wrong answer", is_forced=is_forced, actor=TESTER
    )


async def reported(books: Books) -> list[tuple[int, int, int]]:
    """Report requests, rows and units of November and December."""
    query = UsageQuery(MIDNIGHT_US - DAY_US, MIDNIGHT_US + DAY_US, "month")
    report = await usage_report(books.engine, query)
    return [(row.requests, row.rows, row.units) for row in report.rows]


async def test_correction_of_a_closed_month_counts_in_the_open_one(books: Books) -> None:
    """November stays as it was closed; December has less, with what the original had besides."""
    await books.deliver(november("a", rows=5, units=10))
    await books.close()
    corrected = await correct(books, rows=-2, units=-4)
    assert (corrected.period, corrected.tenant_id) == (DECEMBER, "ten_a")
    assert await books.sequences(DECEMBER) == ["cor_1"]
    assert await reported(books) == [(1, 5, 10), (0, -2, -4)]
    await books.verify()


async def test_correction_is_in_the_chain_and_the_sums_of_its_month(books: Books) -> None:
    """A month with a correction is closed and verified like any other."""
    await books.deliver(november("a", rows=5, units=10))
    await books.close()
    await correct(books, rows=-2, units=-4)
    books.clock.advance(40 * 86_400)
    await books.deliver([])
    closed = await books.close(DECEMBER)
    assert (closed.record_count, closed.requests, closed.rows, closed.units) == (1, 0, -2, -4)
    assert await books.verify(DECEMBER) == closed


async def test_correction_is_in_the_audit_log(books: Books) -> None:
    """Who, when, what and why, in the same transaction."""
    await books.deliver(november("a"))
    await correct(books)
    [entry] = await books.audited()
    assert (entry.action, entry.tenant_id, entry.target) == ("usage.correct", "ten_a", "cor_1")
    assert json.loads(entry.after or "") == {
        "correction_id": "cor_1",
        "request_id": "a",
        "rows": -1,
        "units": -1,
        "reason": "a wrong answer",
        "period": DECEMBER,
    }


async def test_same_correction_again_does_nothing(books: Books) -> None:
    """Whoever got no answer asks once more."""
    await books.deliver(november("a", rows=5, units=5))
    first = await correct(books)
    again = await correct(books)
    assert (first.is_new, again.is_new) == (True, False)
    assert (first.sequence, first.correction) == (again.sequence, again.correction)
    assert await reported(books) == [(1, 5, 5), (0, -1, -1)]
    assert len(await books.audited()) == 1


async def test_same_correction_at_once_is_made_once(books: Books) -> None:
    """Two who ask at the same time."""
    await books.deliver(november("a", rows=5, units=5))
    both = await asyncio.gather(correct(books), correct(books))
    assert sorted(one.is_new for one in both) == [False, True]
    assert await reported(books) == [(1, 5, 5), (0, -1, -1)]


async def test_id_of_another_record_is_refused(books: Books) -> None:
    """Of a request, or of a correction of something else."""
    await books.deliver(november("a", "b", rows=5, units=5))
    await correct(books)
    with pytest.raises(CorrectionExists):
        await correct(books, correction_id="b")
    with pytest.raises(CorrectionExists):
        await correct(books, rows=-2)
    with pytest.raises(CorrectionExists):
        await correct(books, request_id="b")


async def test_less_than_nothing_is_refused(books: Books) -> None:
    """All corrections of a request together, unless somebody insists."""
    await books.deliver(november("a", rows=5, units=5))
    await correct(books, rows=-3, units=-3)
    with pytest.raises(CorrectionRefused, match="2 rows and 2 units are left"):
        await correct(books, rows=-3, units=0, correction_id="cor_2")
    await correct(books, rows=-2, units=-2, correction_id="cor_2")
    with pytest.raises(CorrectionRefused):
        await correct(books, rows=0, units=-1, correction_id="cor_3")
    await correct(books, rows=0, units=-1, correction_id="cor_3", is_forced=True)
    assert await reported(books) == [(1, 5, 5), (0, -5, -6)]


async def test_correction_can_add(books: Books) -> None:
    """What was billed too low."""
    await books.deliver(november("a"))
    await correct(books, rows=0, units=7)
    assert await reported(books) == [(1, 1, 1), (0, 0, 7)]


async def test_only_what_was_served_is_corrected(books: Books) -> None:
    """No unknown request, no mark, no correction; and none that adds nothing."""
    lost = record_of("a.lost", rows=0, units=0, outcome="lost", corrects="a")
    await books.deliver([*november("a"), lost])
    await correct(books)
    for name in ("nobody", "a.lost", "cor_1"):
        with pytest.raises(RecordNotFound):
            await correct(books, request_id=name, correction_id="cor_2")
    with pytest.raises(CorrectionRefused):
        await correct(books, rows=0, units=0, correction_id="cor_2")


async def test_correction_in_an_open_month_counts_now(books: Books) -> None:
    """It is not closed yet, and the correction still counts when it was made."""
    await books.deliver(november("a", rows=5, units=5))
    await correct(books)
    assert await reported(books) == [(1, 5, 5), (0, -1, -1)]
    states = await period_states(books.engine, MIDNIGHT_US - 1, MIDNIGHT_US)
    assert [one.period for one in states] == [NOVEMBER]


async def test_correction_counts_after_what_was_promised(books: Books) -> None:
    """The clock of whoever corrects may be behind; readers were told that all is there."""
    promised_us = books.now_us + 1
    await books.deliver(november("a"), through_us=promised_us)
    await books.deliver([], journal_id="behind")
    corrected = await correct(books)
    assert (corrected.occurred_at_us, corrected.counted_at_us) == (books.now_us, promised_us)
