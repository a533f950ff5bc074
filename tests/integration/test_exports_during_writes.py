"""Exports during writes: the pages together are the ledger, and each reads the same again.

Several journals deliver to one PostgreSQL whose commits are held up at random, some before their
transaction takes a number and some between that and the commit, so that they overtake each other.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import create_engine
from gateway.settings import Settings
from gateway.usage.errors import LedgerUnavailable
from gateway.usage.ledger import Ledger
from gateway.usage.segment_file import Segments
from gateway.usage.tables import usage_records
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane, open_control_plane
from tests.unit.gateway.routes.doubling import write_doubling_model
from tests.unit.gateway.usage.conftest import record_of
from tests.verdicts import share_verdicts

JOURNALS = 6
LOTS = 2
LOT_RECORDS = 2
SLOWEST_SECONDS = 0.02
_LINK = re.compile(r'<([^>]*)>; rel="(\w+)"')
_HOLD_UP = (
    "CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN PERFORM pg_sleep(random() * {SLOWEST_SECONDS}); RETURN NULL; END $$"
)
_AT_THE_BEGINNING = (
    "CREATE TRIGGER late_number BEFORE UPDATE ON usage_book FOR EACH STATEMENT"
    " EXECUTE FUNCTION hold_up()"
)
_AT_THE_COMMIT = (
    "CREATE CONSTRAINT TRIGGER late_commit AFTER INSERT OR UPDATE ON usage_journals"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_up()"
)


@pytest.fixture
async def plane(migrated_postgres: str, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """Run the app on a PostgreSQL whose commits are held up."""
    write_doubling_model(tmp_path / "models" / "double")
    settings = Settings(
        data_dir=share_verdicts(tmp_path / "var"),
        model_repository=tmp_path / "models",
        database_url=SecretStr(migrated_postgres),
        database_pool_size=12,
    )
    async with open_control_plane(settings) as running:
        async with running.services.engine.begin() as connection:
            for statement in (_HOLD_UP, _AT_THE_BEGINNING, _AT_THE_COMMIT):
                await connection.execute(text(statement))
        yield running


@pytest.fixture
async def engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    """Open the database for those who deliver."""
    engine = create_engine(migrated_postgres, pool_size=JOURNALS)
    yield engine
    await engine.dispose()


async def deliver(engine: AsyncEngine, name: str, tenants: list[str]) -> None:
    """Deliver lots of records of several tenants, each in a transaction of its own.

    One that the database had no time for is delivered again, as a worker does.
    """
    ledger = Ledger(engine)
    for lot in range(LOTS):
        records = [
            record_of(f"{name}-{lot}-{n}", tenant_id=tenants[n % len(tenants)], units=n)
            for n in range(LOT_RECORDS)
        ]
        lines = orjson.dumps([tuple(one) for one in records]).decode()
        segments = Segments(1, 1, lines, LOT_RECORDS)
        is_taken = False
        while not is_taken:
            with contextlib.suppress(LedgerUnavailable):
                await ledger.take(f"j{name}", segments, position=lot + 1, complete_through_us=0)
                is_taken = True


@dataclass
class ExportRun:
    """One reader: what it is told on each page, and where it goes on."""

    caller: Caller
    limit: int
    next: str = ""
    ids: list[str] = field(default_factory=list)
    pages: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin at the first record."""
        self.next = f"/v1/usage/records?limit={self.limit}"

    async def fetch(self, path: str) -> tuple[bytes, dict[str, str]]:
        """Read a page."""
        headers = {
            "Authorization": f"Bearer {self.caller.api_key}",
            "Accept": "application/x-ndjson",
        }
        answer = await self.caller.client.get(path, headers=headers)
        while answer.status_code == 503:  # the database had no time for it
            await asyncio.sleep(float(answer.headers["retry-after"]))
            answer = await self.caller.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        links = {name: address for address, name in _LINK.findall(answer.headers["link"])}
        return answer.content, links

    async def read(self) -> None:
        """Read on until a page is empty."""
        while True:
            content, links = await self.fetch(self.next)
            self.pages[links["self"]] = content
            self.next = links["next"]
            if not content:
                return
            self.ids += [orjson.loads(line)["id"] for line in content.splitlines()]

    async def check(self, ledger: list[str]) -> None:
        """Compare with the ledger, and read every page once more."""
        assert self.ids == ledger
        for path, content in self.pages.items():
            again, _ = await self.fetch(path)
            assert again == content, path


async def ledger_of(engine: AsyncEngine, tenant_id: str | None) -> list[str]:
    """Read the ids of the ledger in order."""
    statement = select(usage_records.c.request_id).order_by(usage_records.c.sequence)
    if tenant_id is not None:
        statement = statement.where(usage_records.c.tenant_id == tenant_id)
    async with engine.connect() as connection:
        return list(await connection.scalars(statement))


async def run_exports(
    plane: ControlPlane, engine: AsyncEngine, *, rounds: int, at_once: int
) -> None:
    """Deliver and export at the same time, then let every export read the rest and check it."""
    chance = random.Random(11)  # noqa: S311 - no secret
    tenants = {caller.tenant_id: caller for caller in (plane.customer, plane.stranger)}
    callers = [plane.admin, *tenants.values()]
    readers: list[ExportRun] = []
    for number in range(rounds):
        fresh = [ExportRun(chance.choice(callers), chance.randint(3, 200)) for _ in range(at_once)]
        readers += fresh
        await asyncio.gather(
            *(deliver(engine, f"{number}-{one}", list(tenants)) for one in range(JOURNALS)),
            *(reader.read() for reader in fresh),
        )
    ledgers = {name: await ledger_of(engine, name) for name in (None, *tenants)}
    assert len(ledgers[None]) == rounds * JOURNALS * LOTS * LOT_RECORDS
    partial = [reader for reader in readers if len(reader.ids) < len(ledgers[None])]
    assert len(partial) > len(readers) // 2
    for reader in readers:
        await reader.read()
        name = reader.caller.tenant_id
        await reader.check(ledgers[name if name in tenants else None])


async def test_pages_are_the_ledger(plane: ControlPlane, engine: AsyncEngine) -> None:
    """Whoever reads while others commit late misses nothing, and finds every page again."""
    await run_exports(plane, engine, rounds=4, at_once=4)


@pytest.mark.soak
async def test_pages_of_a_thousand_exports_are_the_ledger(
    plane: ControlPlane, engine: AsyncEngine
) -> None:
    """The same, a thousand times."""
    await run_exports(plane, engine, rounds=125, at_once=8)
