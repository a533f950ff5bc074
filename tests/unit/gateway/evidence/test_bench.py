"""Each way in which the proxy's log, the journals and the ledger can differ has its name."""

from collections.abc import Iterator

import pytest

from gateway.evidence.access_log import LogLine
from gateway.evidence.bench import SCHEMA, SECOND_US, Bench
from gateway.evidence.journal_records import HeldRecord
from gateway.evidence.kinds import Finding, Kind, Tally
from gateway.evidence.ledger_rows import LedgerRow
from gateway.evidence.receipt_check import temporary_database

START = 1_000 * SECOND_US
AT = START + 10 * SECOND_US
END = START + 100 * SECOND_US
LATER = END + 3600 * SECOND_US


def logged(request_id: str = "a", **members: object) -> LogLine:
    """Return the line of an answer with one unit."""
    line = LogLine(request_id, ended_at_us=AT, status=200, units=1, is_answered=True)
    return line._replace(**members)  # type: ignore[arg-type]


def broken(request_id: str) -> LogLine:
    """Return the line of a request of which the proxy heard nothing after it had handed it on."""
    return logged(request_id, status=502, units=None, is_answered=False, is_broken=True)


def billed(request_id: str = "a", **members: object) -> LedgerRow:
    """Return the row of the same."""
    row = LedgerRow(request_id, AT, "tenant", "m", "1", rows=1, units=1, outcome="ok", corrects="")
    return row._replace(**members)  # type: ignore[arg-type]


def held(request_id: str = "a", **members: object) -> HeldRecord:
    """Return the record of the same in a journal."""
    record = HeldRecord("worker-0", request_id, AT, "tenant", "m", "1", rows=1, units=1)
    return record._replace(**members)  # type: ignore[arg-type]


class Case:
    """A bench and what is found on it."""

    def __init__(self, bench: Bench, found: list[Finding]) -> None:
        self.bench = bench
        self._found = found

    def compare(
        self,
        log: list[LogLine],
        rows: list[LedgerRow],
        journals: list[HeldRecord] | None = None,
        *,
        now_us: int = LATER,
        complete_through_us: int = END,
    ) -> list[tuple[str, str]]:
        """Return kind and subject of each finding."""
        self.bench.take_journals(journals or [])
        self.bench.take_rows(rows)
        self.bench.take_log(log, start_us=START - SECOND_US, end_us=LATER)
        self.bench.compare_journals(complete_through_us=complete_through_us)
        self.bench.compare_log(start_us=START, end_us=END, now_us=now_us)
        return [(finding.kind.title, finding.subject) for finding in self._found]


@pytest.fixture
def case() -> Iterator[Case]:
    """Open a bench."""
    found: list[Finding] = []
    with temporary_database(SCHEMA) as database:
        yield Case(Bench(database, Tally(found.append)), found)


def test_what_matches_is_counted_and_not_told(case: Case) -> None:
    """Delivered records may still lie in a journal."""
    assert case.compare([logged(), logged("b", status=429, is_answered=False)], [billed()]) == []
    assert (case.bench.answered, case.bench.rows) == (1, 1)


@pytest.mark.parametrize(
    ("log", "rows", "kind"),
    [
        ([logged()], [], "unbilled"),
        ([logged(units=None)], [], "unbilled"),
        ([], [billed()], "unlogged"),
        ([logged()], [billed(units=2)], "other_units"),
        ([logged(), logged()], [billed()], "repeated_id"),
        ([logged(status=429, units=None, is_answered=False)], [billed()], "billed_refusal"),
        ([logged(units=None, is_answered=False)], [billed()], "billed_refusal"),
        ([logged(status=499, units=None, is_answered=False)], [billed()], "caller_left"),
        ([broken("a")], [billed()], "answer_lost"),
        ([logged(status=504, units=None, is_answered=False)], [billed()], "billed_refusal"),
    ],
    ids=str,
)
def test_answers_and_rows(
    case: Case, *, log: list[LogLine], rows: list[LedgerRow], kind: str
) -> None:
    """A success without a row, a row without a success, and what explains one."""
    assert case.compare(log, rows) == [(kind, "a")]


def test_mark_explains_a_row_that_the_proxy_did_not_see(case: Case) -> None:
    """The door itself knew that nobody was there any more."""
    mark = billed("a.lost", outcome="lost", corrects="a", rows=0, units=0)
    assert case.compare([], [billed(), mark]) == [("caller_left", "a")]


def test_mark_explains_no_refusal_that_was_told(case: Case) -> None:
    """Its caller would pay for what it was told had failed."""
    mark = billed("a.lost", outcome="lost", corrects="a", rows=0, units=0)
    refusal = logged(status=504, units=None, is_answered=False)
    assert case.compare([refusal], [billed(), mark]) == [("billed_refusal", "a")]


def test_row_of_the_last_minute_may_still_be_sent(case: Case) -> None:
    """A slow caller is in no log before the last byte."""
    assert case.compare([], [billed()], now_us=AT + 59 * SECOND_US) == [("unfinished", "a")]


def test_line_of_old_says_no_units_and_counts_all_the_same(case: Case) -> None:
    """A log from before the format had them still shows that somebody was answered."""
    assert case.compare([logged(units=None)], [billed()]) == []


def test_range_is_half_open(case: Case) -> None:
    """What ended or was recorded outside belongs to another run."""
    log = [logged(ended_at_us=END), logged("b", ended_at_us=START - SECOND_US)]
    rows = [billed("c", occurred_at_us=END), billed("d", occurred_at_us=START - 1)]
    assert case.compare(log, rows) == []


def test_record_in_a_journal_is_on_its_way(case: Case) -> None:
    """The answer is on no bill yet, and safe."""
    assert case.compare([logged()], [], [held()], complete_through_us=AT) == [("in_journal", "a")]


def test_record_that_was_promised_is_overdue(case: Case) -> None:
    """As in a journal that was forgotten, or put back."""
    assert case.compare([logged()], [], [held()]) == [("overdue", "a")]


def test_journal_with_other_content_is_a_conflict(case: Case) -> None:
    """Only one of them can be right."""
    assert case.compare([logged()], [billed()], [held(units=2)]) == [("conflict", "a")]


def test_mark_of_nothing_is_found(case: Case) -> None:
    """Whoever removed the original left it behind."""
    mark = billed("a.lost", outcome="lost", corrects="a", rows=0, units=0)
    assert case.compare([], [mark]) == [("orphaned_mark", "a.lost")]


def test_ids_to_be_looked_up_are_those_not_seen(case: Case) -> None:
    """Journals may hold records of other ranges."""
    case.bench.take_rows([billed(), billed("c.lost", corrects="c")])
    case.bench.take_journals([held(), held("b")])
    assert sorted(*case.bench.unknown_ids(10)) == ["b", "c"]


def test_broken_requests_are_those_without_a_row(case: Case) -> None:
    """Their units may be counted and are on no bill."""
    deadline = logged("d", status=504, units=None, is_answered=False)
    case.compare([broken("b"), broken("c"), broken("e"), deadline], [billed("c")], [held("e")])
    assert case.bench.broken_requests() == 1


def test_largest_request_is_told_by_tenant(case: Case) -> None:
    """A correction is no request."""
    rows = [billed(units=3), billed("b"), billed("c", tenant_id="other", units=2)]
    case.compare([], [*rows, billed("d", units=9, corrects="a", outcome="correction")])
    assert case.bench.largest_requests() == {"tenant": 3, "other": 2}


def test_every_kind_says_what_it_means() -> None:
    """Names are unique, as programs go by them."""
    assert len({kind.title for kind in Kind}) == len(Kind)
    assert all(kind.meaning for kind in Kind)
