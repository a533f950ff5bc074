"""What one server changes is in force on another at once, though they share no data folder."""

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import event

from auth.errors import CredentialInvalid, KeysetUnavailable, TenantSuspended
from gateway.limits.redis_keys import tenant_prefix, units_key
from inference.errors import ModelNotFound
from tests.actors import TESTER
from tests.hosts import PREFIX, Host, running_host
from tests.redis_limiters import until_shared
from tests.redis_server import RedisServer, running_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that the test may break."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def database_url(migrated_postgres: str) -> str:
    """Share a PostgreSQL, as machines do."""
    return migrated_postgres


@pytest.fixture
async def here(tmp_path: Path, database_url: str, redis_server: RedisServer) -> AsyncIterator[Host]:
    """Run the host that changes the catalogue."""
    (folder := tmp_path / "here").mkdir()
    url = redis_server.url
    async with running_host(folder, database_url=database_url, redis_url=url) as host:
        yield host


@pytest.fixture
async def there(
    tmp_path: Path, database_url: str, redis_server: RedisServer
) -> AsyncIterator[Host]:
    """Run the host that must notice."""
    (folder := tmp_path / "there").mkdir()
    url = redis_server.url
    async with running_host(folder, database_url=database_url, redis_url=url) as host:
        yield host


@dataclass(frozen=True)
class Known:
    """A key that both hosts have served a prediction for."""

    tenant_id: str
    key_id: str
    api_key: str
    units_key: str


@pytest.fixture
async def known(here: Host, there: Host) -> Known:
    """Issue a key and use it on both hosts."""
    tenant = await here.store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
    issued = await here.store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    for host in (here, there):
        await host.predict(issued.api_key)
    units = units_key(tenant_prefix(PREFIX, tenant.tenant_id))
    return Known(tenant.tenant_id, issued.key.key_id, issued.api_key, units)


class Statements:
    """Count what a host reads from its database."""

    def __init__(self, host: Host) -> None:
        self.texts: list[str] = []
        event.listen(host.engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, *arguments: object) -> None:
        self.texts.append(str(arguments[2]))

    def of(self, table: str) -> int:
        """Count the statements that name a table."""
        return sum(table in text for text in self.texts)


async def test_revoked_key_is_refused_by_the_other_host(
    here: Host, there: Host, known: Known
) -> None:
    """The admission says that its catalogue is old, and the key is read again and refused."""
    await here.store.revoke_key(known.tenant_id, known.key_id, actor=TESTER)
    with pytest.raises(CredentialInvalid):
        await there.predict(known.api_key)
    assert here.settled == []


async def test_key_made_elsewhere_works_at_once(here: Host, there: Host, known: Known) -> None:
    """A key that memory does not have is looked for in SQL before it is refused."""
    issued = await here.store.create_key(
        known.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    assert (await there.predict(issued.api_key)).encoded.body == b'{"predictions":[2.0,4.0,6.0]}'


async def test_suspended_tenant_is_refused_by_the_other_host(
    here: Host, there: Host, known: Known
) -> None:
    """A tenant's standing counts as a key's does."""
    await here.store.update_tenant(known.tenant_id, actor=TESTER, status="suspended")
    with pytest.raises(TenantSuspended):
        await there.predict(known.api_key)


async def test_model_taken_away_is_refused_by_the_other_host(
    here: Host, there: Host, known: Known
) -> None:
    """What the tenant may use is looked at again, too."""
    await here.store.update_tenant(known.tenant_id, actor=TESTER, models=["other"])
    with pytest.raises(ModelNotFound):
        await there.predict(known.api_key)


async def test_change_is_read_once_and_by_revision(here: Host, there: Host, known: Known) -> None:
    """The other host reads after the change and not with every request."""
    await here.store.create_key(known.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    statements = Statements(there)
    for _ in range(3):
        await there.predict(known.api_key)
    assert statements.of("catalog_revision") == 1


async def test_flushed_redis_revives_no_key(
    *, here: Host, there: Host, known: Known, redis_server: RedisServer
) -> None:
    """A Redis that knows no revision vouches for nobody."""
    await here.store.revoke_key(known.tenant_id, known.key_id, actor=TESTER)
    redis_server.ask("FLUSHALL")
    with pytest.raises(CredentialInvalid):
        await there.predict(known.api_key)


async def test_flushed_redis_is_told_the_revision_anew(
    there: Host, known: Known, redis_server: RedisServer
) -> None:
    """One reading is enough for all requests that follow."""
    redis_server.ask("FLUSHALL")
    statements = Statements(there)
    for _ in range(3):
        await there.predict(known.api_key)
    assert statements.of("catalog_revision") == 1
    assert int(redis_server.ask("HGET", known.units_key, "revision")) == there.keyset.revision


async def test_restarted_redis_vouches_for_nobody_before_sql_is_read(
    *, here: Host, there: Host, known: Known, redis_server: RedisServer
) -> None:
    """What a restarted Redis remembers may be older than a revocation that it was told of."""
    stale = int(redis_server.ask("HGET", known.units_key, "revision"))
    await here.store.revoke_key(known.tenant_id, known.key_id, actor=TESTER)
    redis_server.kill()
    redis_server.start()
    redis_server.ask("HSET", known.units_key, "revision", stale)
    await until_shared(there.limiter)
    with pytest.raises(CredentialInvalid):
        await there.predict(known.api_key)


async def test_restored_records_win_over_redis(
    there: Host, known: Known, redis_server: RedisServer
) -> None:
    """After a restore Redis remembers revisions that never were; SQL is the record."""
    redis_server.ask("HSET", known.units_key, "revision", 10**6)
    await there.predict(known.api_key)
    assert int(redis_server.ask("HGET", known.units_key, "revision")) == there.keyset.revision


async def test_without_redis_the_answer_waits_for_the_other_host(
    *,
    here: Host,
    known: Known,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two seconds, in which every server has read SQL, and one warning."""
    caplog.set_level(logging.WARNING)
    redis_server.kill()
    for _ in range(2):
        await here.store.revoke_key(known.tenant_id, known.key_id, actor=TESTER)
    assert here.settled == [2.0, 2.0]
    assert len(caplog.records) == 1


async def test_without_redis_every_acceptance_asks_sql(
    *, here: Host, there: Host, known: Known, redis_server: RedisServer
) -> None:
    """A key revoked while Redis is away is refused with the next request."""
    redis_server.kill()
    await there.predict(known.api_key)
    await here.store.revoke_key(known.tenant_id, known.key_id, actor=TESTER)
    with pytest.raises(CredentialInvalid):
        await there.predict(known.api_key)


async def test_without_redis_an_unchanged_catalogue_costs_one_row(
    there: Host, known: Known, redis_server: RedisServer
) -> None:
    """The four tables are read where the revision has moved, and else the revision alone."""
    redis_server.kill()
    await there.predict(known.api_key)
    statements = Statements(there)
    await there.predict(known.api_key)
    assert statements.of("catalog_revision") == 1
    assert statements.of("api_keys") == 0


async def test_without_redis_and_sql_nobody_is_let_in(
    there: Host, known: Known, redis_server: RedisServer
) -> None:
    """Serving then could mean serving a revoked key."""
    redis_server.kill()
    await there.predict(known.api_key)
    async with there.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE catalog_revision RENAME TO away")
    with pytest.raises(KeysetUnavailable):
        await there.predict(known.api_key)


async def test_without_sql_redis_vouches(there: Host, known: Known) -> None:
    """While nothing can change, predictions go on."""
    async with there.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE catalog_revision RENAME TO away")
    await there.predict(known.api_key)


@pytest.fixture
async def alone(
    tmp_path: Path, database_url: str, redis_server: RedisServer
) -> AsyncIterator[Host]:
    """Run a host that no other shares the catalogue with."""
    (folder := tmp_path / "alone").mkdir()
    url = redis_server.url
    async with running_host(folder, database_url=database_url, redis_url=url, replicas=1) as host:
        yield host


async def test_server_alone_needs_neither_redis_nor_sql_to_go_on(
    alone: Host, redis_server: RedisServer
) -> None:
    """Its data folder tells it of every change; an empty Redis while SQL is away refuses nobody."""
    tenant = await alone.store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
    issued = await alone.store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    await alone.predict(issued.api_key)
    async with alone.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE catalog_revision RENAME TO away")
    redis_server.ask("FLUSHALL")
    await alone.predict(issued.api_key)
    redis_server.kill()
    redis_server.start()
    for _ in range(2):
        await alone.predict(issued.api_key)
        await until_shared(alone.limiter)


async def test_server_alone_answers_changes_at_once(alone: Host, redis_server: RedisServer) -> None:
    """There is nobody to wait for, with Redis or without."""
    redis_server.kill()
    tenant = await alone.store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
    await alone.store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    assert alone.settled == []
