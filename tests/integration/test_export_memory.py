"""An export streams: a million records take no more memory than a hundred thousand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from tests.serving import ROOT

FEW, MANY = 100_000, 1_000_000
STEP = 50_000
ALLOWED_KIB = 24 * 1024
_NUMBERS = {
    "sqlite": "WITH RECURSIVE t(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM t"
    " WHERE n < :last) ",
    "postgresql": "WITH t AS (SELECT generate_series(:first, :last) AS n) ",
}
_FILL = (
    "INSERT INTO usage_records (sequence, request_id, occurred_at_us, counted_at_us, period,"
    " tenant_id, key_id, model, version, protocol, rows, units, is_test, queue_us, compute_us,"
    " bytes_in, bytes_out, outcome, corrects, journal_id)"
)
_ROW = (
    " SELECT n, 'request-' || n, 1794700800000000 + n, 1794700800000000 + n, 202611, 'ten_a',"
    " 'key_a', 'housing', '1', 'v1', 1, 2, {no}, 1, 2, 3, 4, 'ok', '', 'j' FROM t"
)
_PROGRAM = (
    "import resource, sys; from gateway.cli import main\n"
    "try: main(sys.argv[1:])\n"
    "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
)


async def fill(engine: AsyncEngine, first: int, last: int) -> None:
    """Put so many records into the ledger, past the program."""
    dialect = engine.dialect.name
    fill = f"{_FILL} {_NUMBERS[dialect]}{_ROW.format(no='0' if dialect == 'sqlite' else 'false')}"
    if dialect == "postgresql":
        fill = f"{_NUMBERS[dialect]}{_FILL}{_ROW.format(no='false')}"
    for start in range(first, last, STEP):
        async with engine.begin() as connection:
            bounds = {"first": start + 1, "last": min(start + STEP, last)}
            await connection.execute(text(fill), bounds)
            await connection.execute(text("UPDATE usage_book SET last_sequence = :last"), bounds)


def export(database_url: str, output: Path, form: str) -> tuple[int, int]:
    """Export everything; return the number of records and the most memory, in KiB."""
    options = ["--output", str(output), "--format", form, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "usage", "export", *options],
        cwd=ROOT,
        env=os.environ | {"TOLLGATE_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["records"], int(done.stderr.split()[-1])


@pytest.mark.soak
async def test_export_streams_in_bounded_memory(database_url: str, tmp_path: Path) -> None:
    """In each form, from either database."""
    engine = create_engine(database_url, answer_seconds=120)
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO usage_journals VALUES ('j', 1, 1795000000000000, true)")
        )
    await fill(engine, 0, FEW)
    forms = ("ndjson", "csv", "parquet")
    before = {form: export(database_url, tmp_path / form, form) for form in forms}
    await fill(engine, FEW, MANY)
    await engine.dispose()
    for form in forms:
        records, most_kib = export(database_url, tmp_path / form, form)
        sys.stdout.write(f"{form}: {records} records, {before[form][1]} -> {most_kib} KiB\n")
        assert (before[form][0], records) == (FEW, MANY)
        assert most_kib - before[form][1] < ALLOWED_KIB, form
