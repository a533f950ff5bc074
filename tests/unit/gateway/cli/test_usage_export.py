"""Records written to a file: the same bytes however often it was stopped, from either side."""

import csv
import hashlib
import json
from pathlib import Path

import orjson
import pytest
from pyarrow import parquet

from gateway.cli.usage_client import ServerSource
from gateway.database import create_engine
from gateway.errors import ExportFailed
from gateway.reading import export as exporting
from gateway.reading.export import Export, Opening, Progress, Source, SourcePage
from gateway.usage.ledger import Ledger
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.usage.conftest import START_US, record_of

COMPLETE_US = START_US + 3_600_000_000


async def put(database_url: str, *records: UsageRecord) -> None:
    """Put records into a ledger that is complete for an hour after `START_US`."""
    engine = create_engine(database_url)
    segments = Segments(1, 1, orjson.dumps([tuple(one) for one in records]).decode(), len(records))
    await Ledger(engine).take("j", segments, position=1, complete_through_us=COMPLETE_US)
    await engine.dispose()


@pytest.fixture
async def terminal(terminal: Terminal, migrated_sqlite: str) -> Terminal:
    """A terminal over a ledger of some records: of two tenants, test keys, and one to come."""
    records = [record_of(f"r{number:04}", rows=number, units=2 * number) for number in range(1, 8)]
    others = [
        record_of("other", tenant_id="ten_b", model="=cmd()"),
        record_of("tried", is_test=True),
        record_of("later", occurred_at_us=COMPLETE_US),
    ]
    await put(migrated_sqlite, *records, *others)
    return Terminal(terminal.settings | {"TOLLGATE_DATABASE_URL": migrated_sqlite})


def test_export_holds_what_is_billed_and_complete(terminal: Terminal, tmp_path: Path) -> None:
    """Rows, sums and checksum are printed; what came later or was a test is not in it."""
    output = tmp_path / "bill.ndjson"
    done = terminal.run("usage", "export", "--output", str(output), "--json")
    assert done.status == 0, done.err
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["id"] for line in lines] == [*(f"r000{n}" for n in range(1, 8)), "other"]
    shown = done.document
    assert (shown["records"], shown["rows"], shown["units"]) == (8, 29, 57)
    assert shown["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.glob("bill*")) == ["bill.ndjson"]


def test_export_can_be_of_one_tenant_and_range(terminal: Terminal, tmp_path: Path) -> None:
    """`--tenant`, `--from` and `--to` narrow it."""
    wanted = {"--tenant ten_b": 1, "--from 2026-11-15 --to 2026-11-16": 8, "--test": 1}
    for number, (options, records) in enumerate(wanted.items()):
        output = ("--output", str(tmp_path / f"{number}"))
        done = terminal.run("usage", "export", *output, "--json", *options.split())
        assert done.document["records"] == records, options
    empty = terminal.run("usage", "export", "--output", "x", "--from", "2027-01-01")
    assert empty.status == 1
    assert "nothing of the range is complete yet" in empty.err


def test_forms_tell_the_same(terminal: Terminal, tmp_path: Path) -> None:
    """CSV and Parquet hold the records of the lines; a formula in CSV is none any more."""
    for form in ("ndjson", "csv", "parquet"):
        output = ("--output", str(tmp_path / form), "--format", form)
        assert terminal.run("usage", "export", *output).status == 0
    lines = [json.loads(line) for line in (tmp_path / "ndjson").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "parquet")
    assert table.column("id").to_pylist() == [line["id"] for line in lines]
    with (tmp_path / "csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["units"]) for row in rows] == [line["units"] for line in lines]
    assert rows[-1]["model"] == "'=cmd()"
    assert lines[-1]["model"] == "=cmd()"


class Numbers(Source):
    """Records without end in their numbers, from a source that dies after some pages."""

    def __init__(self, *, pages: int, total: int) -> None:
        self.pages = pages
        self.total = total

    def begin(self) -> Opening:
        """Begin at the first."""
        return Opening("0", "2026-11-16T00:00:00Z", self.total)

    def until(self, end: str) -> Source:  # noqa: ARG002 - it has an end of its own
        """Return the same."""
        return self

    def read(self, position: str) -> SourcePage:
        """Read a page, if one is left."""
        if self.pages == 0:
            raise ExportFailed("the source died")
        self.pages -= 1
        first = int(position)
        last = min(first + exporting.PAGE_RECORDS, self.total)
        rows = [
            (f"r{n}", START_US + n, START_US, *"tkmvp", n, n, "ok", "", False, 1, 2, 3, 4)
            for n in range(first, last)
        ]
        return SourcePage(rows, str(last))


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_stopped_export_goes_on_to_the_same_bytes(
    tmp_path: Path, form: exporting.ExportForm
) -> None:
    """Whole pages stay, half a page is written again, and the file is that of one run."""
    total = 2 * exporting.PAGE_RECORDS + 10
    query: dict[str, str | bool | None] = {"server": None}

    def run(name: str, *, pages: int) -> None:
        job = Export(tmp_path / name, form)
        source = Numbers(pages=pages, total=total)
        start = Progress(query=query, form=form, position="0", end="")
        job.run(source, job.begun(query) or start, on_page=lambda _: None)

    run("whole", pages=9)
    for _ in range(2):
        with pytest.raises(ExportFailed):
            run("cut", pages=1)
        with (tmp_path / "cut.part").open("ab") as part:
            part.write(b"half a page")
    run("cut", pages=1)
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()
    assert list(tmp_path.glob("cut.*")) == []


def test_export_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    """Two queries in one file would be a bill of neither."""
    job = Export(tmp_path / "x", "ndjson")
    begun = Progress(query={"from": None}, form="ndjson", position="0", end="")
    with pytest.raises(ExportFailed, match="died"):
        job.run(Numbers(pages=1, total=9999), begun, on_page=lambda _: None)
    assert job.begun({"from": None}) is not None
    with pytest.raises(ExportFailed, match="another export"):
        job.begun({"from": "2026-11-01"})


@pytest.mark.parametrize("url", ["http://tollgate.example", "ftp://localhost", "localhost:8000"])
def test_key_is_not_sent_in_the_clear(url: str) -> None:
    """Only over HTTPS, or on this machine."""
    with pytest.raises(ExportFailed, match="--server must be https"):
        ServerSource(url, "key", {})
