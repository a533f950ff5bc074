"""Match the proxy's log, the journals and the ledger by request id, in a temporary database.

Memory is bounded, however long the range is. Each of the three is read once; what matches is never
looked at in Python.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from gateway.evidence.access_log import LogLine
from gateway.evidence.journal_records import HeldRecord
from gateway.evidence.kinds import Kind, Tally
from gateway.evidence.ledger_rows import LedgerRow

SCHEMA: Final = """
CREATE TABLE log (
    request_id TEXT, ended_at_us INTEGER, status INTEGER, units INTEGER, answered INTEGER,
    broken INTEGER
);
CREATE TABLE ledger (
    request_id TEXT PRIMARY KEY, occurred_at_us INTEGER, tenant_id TEXT, model TEXT, version TEXT,
    rows INTEGER, units INTEGER, outcome TEXT, corrects TEXT
) WITHOUT ROWID;
CREATE TABLE journals (
    journal TEXT, request_id TEXT, occurred_at_us INTEGER, tenant_id TEXT, model TEXT, version TEXT,
    rows INTEGER, units INTEGER
);
"""
SECOND_US: Final = 1_000_000
UNFINISHED_US: Final = 60 * SECOND_US
"""How long an answer may be on its way to a slow caller before the proxy must have logged it."""

_CALLER_LEFT: Final = 499
_REFUSED: Final = 400
_COMPARED: Final = ("tenant_id", "model", "version", "rows", "units")
_MARKED: Final = (
    "EXISTS (SELECT 1 FROM ledger mark WHERE mark.corrects = ledger.request_id"
    " AND mark.outcome = 'lost')"
)


class Bench:
    """Where the three are laid side by side."""

    def __init__(self, database: sqlite3.Connection, tally: Tally) -> None:
        self._database = database
        self._tally = tally
        self.answered = 0
        self.rows = 0
        self.held = 0

    def take_log(self, lines: Iterable[LogLine], *, start_us: int, end_us: int) -> None:
        """Take in what the proxy saw end in a range."""
        kept = (line for line in lines if start_us <= line.ended_at_us < end_us)
        self._database.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", kept)
        self._database.execute("CREATE INDEX by_id ON log (request_id)")

    def take_rows(self, rows: Sequence[LedgerRow]) -> None:
        """Take in rows of the ledger."""
        self._database.executemany(
            "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )

    def take_journals(self, records: Iterable[HeldRecord]) -> None:
        """Take in what is in journals."""
        self._database.executemany("INSERT INTO journals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", records)
        self._database.execute("CREATE INDEX by_record ON journals (request_id)")

    def unknown_ids(self, size: int) -> Iterator[list[str]]:
        """List ids that a journal or an original of a mark names, in lots, for the ledger."""
        query = (
            "SELECT request_id FROM journals UNION SELECT corrects FROM ledger WHERE corrects <> ''"
            " EXCEPT SELECT request_id FROM ledger"
        )
        found = self._database.execute(query)
        while lot := found.fetchmany(size):
            yield [str(request_id) for (request_id,) in lot]

    def compare_log(self, *, start_us: int, end_us: int, now_us: int) -> None:
        """Find answers that are not billed, and rows that are no answers, within a range."""
        self._compare_answers(start_us, end_us)
        self._compare_rows(start_us, end_us, now_us)

    def compare_journals(self, *, complete_through_us: int) -> None:
        """Find records that should be in the ledger, or are there with other content."""
        theirs = " OR ".join(f"journals.{name} <> ledger.{name}" for name in _COMPARED)
        query = (
            f"SELECT journals.request_id, journals.journal, journals.occurred_at_us,"  # noqa: S608 - our own # nosec B608
            f" ledger.request_id IS NULL, {theirs}"
            " FROM journals LEFT JOIN ledger USING (request_id)"
        )
        for request_id, journal, occurred_at_us, is_absent, is_other in self._rows(query):
            self.held += 1
            if is_absent and occurred_at_us < complete_through_us:
                self._tally.note(Kind.OVERDUE, request_id, f"in {journal}")
            elif is_absent:
                self._tally.note(Kind.IN_JOURNAL, request_id, f"in {journal}")
            elif is_other:
                self._tally.note(Kind.CONFLICT, request_id, f"in {journal}")
        marks = (
            "SELECT mark.request_id, mark.corrects FROM ledger mark"
            " LEFT JOIN ledger original ON original.request_id = mark.corrects"
            " WHERE mark.corrects <> '' AND original.request_id IS NULL"
        )
        for request_id, original in self._rows(marks):
            self._tally.note(Kind.ORPHANED_MARK, request_id, f"of {original}")

    def held_units(self) -> dict[str, int]:
        """Add up, by tenant, what journals hold that the ledger does not have."""
        query = (
            "SELECT journals.tenant_id, sum(journals.units) FROM journals"
            " LEFT JOIN ledger USING (request_id) WHERE ledger.request_id IS NULL"
            " GROUP BY journals.tenant_id"
        )
        return dict(self._rows(query))

    def broken_requests(self) -> int:
        """Count requests whose worker broke and that are not billed: their units may be counted."""
        query = (
            "SELECT count(*) FROM log WHERE broken"
            " AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.request_id = log.request_id)"
            " AND NOT EXISTS (SELECT 1 FROM journals WHERE journals.request_id = log.request_id)"
        )
        [[count]] = self._rows(query)
        return int(count)

    def largest_requests(self) -> dict[str, int]:
        """Return, by tenant, the units of its largest request that is billed."""
        query = "SELECT tenant_id, max(units) FROM ledger WHERE corrects = '' GROUP BY tenant_id"
        return dict(self._rows(query))

    def _compare_answers(self, start_us: int, end_us: int) -> None:
        within = "log.ended_at_us >= ? AND log.ended_at_us < ?"
        [[self.answered]] = self._rows(
            f"SELECT count(*) FROM log WHERE answered AND {within}",  # noqa: S608 - our own # nosec B608
            *(start_us, end_us - SECOND_US),
        )
        query = (
            "SELECT log.request_id, log.units, ledger.units, ledger.request_id IS NULL,"  # noqa: S608 - our own # nosec B608
            " EXISTS (SELECT 1 FROM journals WHERE journals.request_id = log.request_id)"
            " FROM log LEFT JOIN ledger USING (request_id)"
            f" WHERE answered AND {within}"
            " AND (ledger.request_id IS NULL OR ledger.units IS NOT log.units)"
        )
        for request_id, told, billed, is_absent, is_held in self._rows(
            query, start_us, end_us - SECOND_US
        ):
            if is_held and is_absent:
                continue  # a journal has it, and is compared by itself
            if is_absent:
                self._tally.note(Kind.UNBILLED, request_id, f"{told} units")
            elif told is not None:
                self._tally.note(Kind.OTHER_UNITS, request_id, f"told {told}, billed {billed}")
        twice = (
            f"SELECT request_id, count(*) FROM log WHERE {within}"  # noqa: S608 - our own # nosec B608
            " GROUP BY request_id HAVING count(*) > 1"
        )
        for request_id, count in self._rows(twice, start_us, end_us):
            self._tally.note(Kind.REPEATED_ID, request_id, f"{count} times")

    def _compare_rows(self, start_us: int, end_us: int, now_us: int) -> None:
        within = "occurred_at_us >= ? AND occurred_at_us < ? AND corrects = ''"
        [[self.rows]] = self._rows(
            f"SELECT count(*) FROM ledger WHERE {within}",  # noqa: S608 - our own # nosec B608
            *(start_us, end_us),
        )
        query = (
            f"SELECT ledger.request_id, occurred_at_us, log.status, log.broken, {_MARKED}"  # noqa: S608 - our own # nosec B608
            " FROM ledger LEFT JOIN log USING (request_id)"
            f" WHERE {within} AND (log.request_id IS NULL OR NOT log.answered)"
        )
        found = self._rows(query, start_us, end_us)
        for request_id, occurred_at_us, status, is_broken, is_lost in found:
            if status is None:
                is_recent = now_us - occurred_at_us < UNFINISHED_US
                self._tally.note(_kind_unseen(is_lost=is_lost, is_recent=is_recent), request_id)
                continue
            kind = _kind_seen(status, is_broken=is_broken, is_lost=is_lost)
            self._tally.note(kind, request_id, f"status {status}")

    def _rows(self, query: str, *values: int) -> Iterator[Any]:
        yield from self._database.execute(query, values)


def _kind_unseen(*, is_lost: bool, is_recent: bool) -> Kind:
    """Say what a row is that is in no log."""
    if is_lost:
        return Kind.CALLER_LEFT
    return Kind.UNFINISHED if is_recent else Kind.UNLOGGED


def _kind_seen(status: int, *, is_broken: bool, is_lost: bool) -> Kind:
    """Say what a row is of which the proxy saw no success.

    Threat: a mark must not explain a refusal that was told. Who got one pays for it otherwise.
    """
    if status == _CALLER_LEFT:
        return Kind.CALLER_LEFT
    if is_broken:
        return Kind.ANSWER_LOST
    if is_lost and status < _REFUSED:
        return Kind.CALLER_LEFT
    return Kind.BILLED_REFUSAL
