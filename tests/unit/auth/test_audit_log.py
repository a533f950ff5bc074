"""Every change leaves one entry in the audit log, in its own transaction, for good."""

import inspect
from datetime import timedelta

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import Executable

from auth.audit import Entry
from auth.audit_log import audit_events, read_entries
from auth.errors import InvalidChange
from auth.store import Store
from auth.tenants import Tenant
from auth.tokens import AccessClaims
from tests.actors import TESTER
from tests.serving import ROOT
from tests.unit.auth.admin_writes import ADMIN, ADMIN_WRITES, Write

READS = ("get_", "list_", "read_", "find_", "touch_", "check_")
BESIDE_THE_LOG = {
    "catalogue.py": "the transaction that appends to the log",
    "bootstrap.py": "appends to the log itself, without the secrets that a store needs",
    "assertion_store.py": "used assertions are kept for minutes",
    "client_store.py": "when a client was last used",
    "key_store.py": "when a key was last used",
    "secret_marks.py": "which sealing key a server has started with",
}
PASSING = {"use_assertion", "forget_assertions", "renew_digests", "prolong_sessions"}
"""What is kept for minutes, or changes how a secret is stored and not what it opens."""


async def _create_plan(store: Store, _tenant_id: str) -> None:
    await store.create_plan(
        actor=ADMIN,
        name="p",
        requests_per_second=1,
        burst=None,
        units_per_month=None,
        max_in_flight=None,
    )


async def _create_tenant(store: Store, _tenant_id: str) -> None:
    await store.create_tenant(actor=ADMIN, name="t", plan_id=None, models=["*"])


async def _update_tenant(store: Store, tenant_id: str) -> None:
    await store.update_tenant(tenant_id, actor=ADMIN, status="suspended")


async def _delete_tenant(store: Store, tenant_id: str) -> None:
    await store.delete_tenant(tenant_id, actor=ADMIN)


async def _new_key(store: Store, tenant_id: str) -> str:
    issued = await store.create_key(tenant_id, actor=ADMIN, name="k", scopes=["predict"])
    return issued.key.key_id


async def _revoke_key(store: Store, tenant_id: str) -> None:
    await store.revoke_key(tenant_id, await _new_key(store, tenant_id), actor=ADMIN)


async def _rotate_key(store: Store, tenant_id: str) -> None:
    key_id = await _new_key(store, tenant_id)
    await store.rotate_key(tenant_id, key_id, actor=ADMIN, overlap_seconds=0)


async def _new_client(store: Store, tenant_id: str) -> str:
    issued = await store.create_client(tenant_id, actor=ADMIN, name="c", scopes=["predict"])
    return issued.client.client_id


async def _revoke_client(store: Store, tenant_id: str) -> None:
    await store.revoke_client(tenant_id, await _new_client(store, tenant_id), actor=ADMIN)


async def _rotate_client(store: Store, tenant_id: str) -> None:
    client_id = await _new_client(store, tenant_id)
    await store.rotate_client(tenant_id, client_id, actor=ADMIN, overlap_seconds=0)


async def _tend_signing_keys(store: Store, _tenant_id: str) -> None:
    await store.tend_signing_keys(actor=ADMIN, max_age=timedelta(days=30))


async def _rotate_signing_key(store: Store, _tenant_id: str) -> None:
    await store.rotate_signing_key(actor=ADMIN, at_once=True)


async def _revoke_signing_key(store: Store, _tenant_id: str) -> None:
    key = await store.rotate_signing_key(actor=ADMIN)
    await store.revoke_signing_key(key.kid, actor=ADMIN)


async def _revoke_token(store: Store, tenant_id: str) -> None:
    scopes = frozenset({"predict"})
    claims = AccessClaims("cli_0", "cli_0", tenant_id, scopes, "jti", 0, 300, "kid")
    await store.revoke_token(claims, actor=ADMIN)


WRITES: dict[str, tuple[str, Write]] = {
    "create_plan": ("plan.create", _create_plan),
    "create_tenant": ("tenant.create", _create_tenant),
    "update_tenant": ("tenant.update", _update_tenant),
    "delete_tenant": ("tenant.delete", _delete_tenant),
    "create_key": ("key.create", _new_key),
    "revoke_key": ("key.revoke", _revoke_key),
    "rotate_key": ("key.rotate", _rotate_key),
    "create_client": ("client.create", _new_client),
    "revoke_client": ("client.revoke", _revoke_client),
    "rotate_client": ("client.rotate", _rotate_client),
    "tend_signing_keys": ("signing_key.create", _tend_signing_keys),
    "rotate_signing_key": ("signing_key.create", _rotate_signing_key),
    "revoke_signing_key": ("signing_key.revoke", _revoke_signing_key),
    "revoke_token": ("token.revoke", _revoke_token),
} | ADMIN_WRITES
"""Every write of the store: the action that it leaves, and how to do it for a tenant."""


async def entries_of(engine: AsyncEngine) -> list[Entry]:
    """Read the whole log."""
    async with engine.connect() as connection:
        return await read_entries(connection, after=0, limit=1000)


def test_every_write_of_the_store_is_in_the_table() -> None:
    """A new method that changes the catalogue gets a row here, or is named as a reader."""
    methods = inspect.getmembers(Store, inspect.iscoroutinefunction)
    public = {name for name, _method in methods if not name.startswith("_")}
    assert {name for name in public if not name.startswith(READS)} - PASSING == WRITES.keys()


def test_only_named_modules_write_beside_the_log() -> None:
    """A transaction of one's own leaves no entry, so each needs its reason here."""
    modules = (ROOT / "auth").glob("*.py")
    found = {path.name for path in modules if ".begin()" in path.read_text(encoding="utf-8")}
    assert found == BESIDE_THE_LOG.keys()


@pytest.mark.parametrize("name", WRITES)
async def test_write_leaves_one_entry_in_the_name_of_its_actor(
    *, engine: AsyncEngine, store: Store, tenant: Tenant, name: str
) -> None:
    """Who, in which request, and what became of it."""
    action, write = WRITES[name]
    await write(store, tenant.tenant_id)
    found = [entry for entry in await entries_of(engine) if entry.action == action]
    assert found
    last = found[-1]
    named = (last.actor_kind, last.actor_id, last.actor_tenant_id, last.request_id)
    assert named == (ADMIN.kind, ADMIN.credential_id, ADMIN.tenant_id, ADMIN.request_id)


async def test_entries_are_numbered_without_gaps(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """A refused change leaves neither an entry nor a hole."""
    key_id = await _new_key(store, tenant.tenant_id)
    with pytest.raises(InvalidChange):
        await store.create_key(tenant.tenant_id, actor=ADMIN, name="k", scopes=["fly"])
    await store.revoke_key(tenant.tenant_id, key_id, actor=ADMIN)
    actions = [(entry.sequence, entry.action) for entry in await entries_of(engine)]
    assert actions == [(1, "tenant.create"), (2, "key.create"), (3, "key.revoke")]


async def test_second_revocation_is_no_change(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """Nothing became different, so nothing is told."""
    key_id = await _new_key(store, tenant.tenant_id)
    await store.revoke_key(tenant.tenant_id, key_id, actor=ADMIN)
    before = await entries_of(engine)
    await store.revoke_key(tenant.tenant_id, key_id, actor=ADMIN)
    assert await entries_of(engine) == before


async def test_before_and_after_tell_the_change(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """As JSON, with everything that is public of the record."""
    await store.update_tenant(tenant.tenant_id, actor=ADMIN, status="suspended")
    last = (await entries_of(engine))[-1]
    assert last.tenant_id == last.target == tenant.tenant_id
    assert last.before is not None
    assert last.after == last.before.replace('"status":"active"', '"status":"suspended"')


async def test_secrets_are_not_in_the_log(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """Neither whole nor in part."""
    issued = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    rotated = await store.rotate_key(
        tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=60
    )
    told = repr(await entries_of(engine))
    for secret in (issued.api_key, rotated.api_key):
        assert secret.rsplit("_", 1)[1] not in told


@pytest.mark.parametrize(
    "statement",
    [
        update(audit_events).values(action="nothing"),
        update(audit_events).values(sequence=audit_events.c.sequence + 1),
        delete(audit_events),
    ],
)
async def test_log_is_only_appended_to(
    engine: AsyncEngine, tenant: Tenant, statement: Executable
) -> None:
    """The database refuses what would change or remove an entry, whoever asks."""
    before = await entries_of(engine)
    with pytest.raises(DBAPIError, match="only appended to"):
        async with engine.begin() as connection:
            await connection.execute(statement)
    assert await entries_of(engine) == before
    assert before[-1].target == tenant.tenant_id


async def test_replaced_entry_is_refused(engine: AsyncEngine, tenant: Tenant) -> None:
    """The statements that remove rows under another name are refused, too."""
    is_sqlite = engine.dialect.name == "sqlite"
    replace = "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events"
    before = await entries_of(engine)
    with pytest.raises(DBAPIError, match="only appended to"):
        async with engine.begin() as connection:
            await connection.execute(text(replace if is_sqlite else "TRUNCATE audit_events"))
    assert await entries_of(engine) == before
    assert tenant.tenant_id in {entry.target for entry in before}
