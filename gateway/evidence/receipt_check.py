"""Hold receipts against a statement, in a temporary database, so that memory stays bounded."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.evidence.receipt_text import (
    ReceiptFacts,
    ReceiptInvalid,
    ReceiptVerifier,
    find_receipt,
    is_about_receipt,
)
from gateway.evidence.statement import StatementLine

_SCHEMA: Final = """
CREATE TABLE statement (
    request_id TEXT, tenant_id TEXT, model TEXT, version TEXT, rows INTEGER, units INTEGER,
    outcome TEXT, corrects TEXT
);
CREATE TABLE receipts (
    request_id TEXT PRIMARY KEY, line INTEGER, disclosure TEXT, tenant_id TEXT, model TEXT,
    version TEXT, rows INTEGER, units INTEGER, is_test INTEGER
) WITHOUT ROWID;
"""
_COMPARED: Final = ("tenant_id", "model", "version", "rows", "units")
_TOLD_EVERY: Final = 100_000


class Finding(StrEnum):
    """What can be found; the value is how it is told."""

    UNREADABLE = "unreadable"
    FORGED = "not genuine"
    CONTRADICTED = "two receipts of one request"
    MISSING = "not on the statement"
    BILLED_TWICE = "on the statement more than once"
    DIFFERENT = "another content on the statement"
    WITHOUT_RECEIPT = "a line without a receipt"
    CORRECTED = "a correction that adds nothing"

    @property
    def is_fault(self) -> bool:
        """Whether it does not fit; what takes from the bill is told, and is no fault."""
        return self is not Finding.CORRECTED


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that does not fit."""

    finding: Finding
    request_id: str
    line: int | None
    """Of the file of receipts; None where there is none."""
    detail: str = ""


@dataclass(slots=True)
class Counts:
    """What was read."""

    receipts: int = 0
    repeated: int = 0
    """Receipts that stand in the file again, as after a request that was sent again."""
    tests: int = 0
    """Of test keys, which are on no bill."""
    statement_lines: int = 0
    lost: int = 0
    """Lines without a receipt that the statement itself marks: the answer did not arrive."""
    receipt_units: int = 0
    """On receipts, each request once."""
    statement_units: int = 0
    lost_units: int = 0
    """Of the lines that `lost` counts."""
    correction_units: int = 0
    """Of the lines that are no answers; below zero where they give back."""


class ReceiptCheck:
    """One comparison. Fill it with the statement, then the receipts, then read what was found."""

    def __init__(self, database: sqlite3.Connection, tell: Callable[[str], None]) -> None:
        self._database = database
        self._tell = tell
        self.counts = Counts()

    def take_statement(self, lines: Iterable[StatementLine]) -> None:
        """Take in a statement.

        Raises:
            Whatever reading its lines raises.
        """
        self._database.executemany(
            "INSERT INTO statement VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._statement_rows(lines)
        )
        self._database.execute("CREATE INDEX by_request ON statement (request_id)")
        self._database.execute("CREATE INDEX by_original ON statement (corrects)")

    def take_receipts(self, lines: Iterable[str], verifier: ReceiptVerifier) -> Iterator[Found]:
        """Take in the lines of a file of receipts; say which are none that count."""
        for number, line in enumerate(lines, 1):
            if number % _TOLD_EVERY == 0:
                self._tell(f"{number} lines of receipts so far")
            parts = find_receipt(line)
            if parts is None:
                if is_about_receipt(line):
                    yield Found(Finding.UNREADABLE, "", number, "no whole receipt")
                continue
            self.counts.receipts += 1
            try:
                facts = verifier.verify(*parts)
            except ReceiptInvalid as error:
                yield Found(Finding.FORGED, "", number, str(error))
                continue
            if not self._keep(facts, number, disclosure=parts[1]):
                yield Found(Finding.CONTRADICTED, facts.request_id, number)

    def differences(self) -> Iterator[Found]:
        """Compare what was taken in."""
        yield from self._of_receipts()
        lost = "EXISTS (SELECT 1 FROM statement mark WHERE mark.corrects = line.request_id"
        lost += " AND mark.outcome = 'lost')"
        without = (
            f"SELECT line.request_id, {lost}, line.model, line.units FROM statement line"  # noqa: S608 - our own # nosec B608
            " LEFT JOIN receipts USING (request_id)"
            " WHERE receipts.request_id IS NULL AND line.outcome = 'ok' AND line.corrects = ''"
        )
        for request_id, is_lost, model, units in self._database.execute(without):
            if is_lost:
                self.counts.lost += 1
                self.counts.lost_units += units
                continue
            yield Found(
                Finding.WITHOUT_RECEIPT, request_id, None, f"{units} units of model {model}"
            )
        yield from self._of_other_lines()
        [sums] = self._database.execute(
            "SELECT (SELECT total(units) FROM receipts), (SELECT total(units) FROM statement)"
        )
        self.counts.receipt_units, self.counts.statement_units = map(int, sums)

    def _of_other_lines(self) -> Iterator[Found]:
        """Tell of marks and corrections that have rows or units.

        Threat: whatever adds to a bill needs a receipt, by whatever name it stands there.
        """
        others = (
            "SELECT request_id, outcome, corrects, rows, units FROM statement"
            " WHERE (outcome <> 'ok' OR corrects <> '') AND (rows <> 0 OR units <> 0)"
        )
        for request_id, outcome, corrects, rows, units in self._database.execute(others):
            self.counts.correction_units += units
            finding = Finding.WITHOUT_RECEIPT if max(rows, units) > 0 else Finding.CORRECTED
            told = f"{outcome} of {corrects or 'nothing'}, {rows} rows and {units} units"
            yield Found(finding, request_id, None, told)

    def _of_receipts(self) -> Iterator[Found]:
        theirs = ", ".join(f"receipts.{name}, min(line.{name})" for name in _COMPARED)
        matched = (
            f"SELECT receipts.request_id, receipts.line, receipts.is_test, count(line.request_id),"  # noqa: S608 - our own # nosec B608
            f" {theirs} FROM receipts LEFT JOIN statement line USING (request_id)"
            " GROUP BY receipts.request_id ORDER BY receipts.line"
        )
        for request_id, line, is_test, count, *values in self._database.execute(matched):
            pairs = zip(_COMPARED, values[::2], values[1::2], strict=True)
            if is_test:
                self.counts.tests += 1
            if count == 0 and not is_test:
                yield Found(Finding.MISSING, request_id, line)
            elif count > 1:
                yield Found(Finding.BILLED_TWICE, request_id, line, f"{count} times")
            elif count == 1:
                told = _difference(pairs)
                if told:
                    yield Found(Finding.DIFFERENT, request_id, line, told)

    def _statement_rows(self, lines: Iterable[StatementLine]) -> Iterator[tuple[object, ...]]:
        for line in lines:
            self.counts.statement_lines += 1
            if self.counts.statement_lines % _TOLD_EVERY == 0:
                self._tell(f"{self.counts.statement_lines} lines of the statement so far")
            what = (line.tenant_id, line.model, line.version, line.rows, line.units)
            yield (line.request_id, *what, line.outcome, line.corrects)

    def _keep(self, facts: ReceiptFacts, line: int, *, disclosure: str) -> bool:
        """Keep a genuine receipt; False if there is another of the same request."""
        what = (facts.tenant_id, facts.model, facts.version, facts.rows, facts.units)
        added = self._database.execute(
            "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (facts.request_id, line, disclosure, *what, facts.is_test),
        )
        if added.rowcount:
            return True
        [known] = self._database.execute(
            "SELECT disclosure FROM receipts WHERE request_id = ?", (facts.request_id,)
        ).fetchone()
        self.counts.repeated += 1
        return bool(known == disclosure)


@contextmanager
def open_check(tell: Callable[[str], None]) -> Iterator[ReceiptCheck]:
    """Make a comparison with room on the disk until the block ends; `tell` hears how far it is."""
    with temporary_database(_SCHEMA) as database:
        yield ReceiptCheck(database, tell)


@contextmanager
def temporary_database(schema: str) -> Iterator[sqlite3.Connection]:
    """Make a database that is forgotten at the end, with no promise of durability."""
    with tempfile.TemporaryDirectory(prefix="tollgate-") as folder:
        path = Path(folder) / "evidence.db"
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA cache_size = -65536")
            database.executescript(schema)
            yield database
        finally:
            database.close()


def _difference(pairs: Iterable[tuple[str, object, object]]) -> str:
    """Name what differs; a statement that names no tenant is of the one who asked."""
    return ", ".join(
        f"{name} {theirs} on the receipt and {stated} on the statement"
        for name, theirs, stated in pairs
        if theirs != stated and not (name == "tenant_id" and stated == "")
    )
