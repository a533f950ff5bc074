"""API keys in SQL."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.bindings import Bindings
from auth.errors import AuthError, CredentialEnded, InvalidChange, KeyNotFound, TenantNotFound
from auth.networks import networks_of
from auth.store import Store
from auth.tables import metadata
from auth.tenants import PLATFORM_TENANT_ID, IssuedKey, Tenant
from tests.actors import TESTER
from tests.unit.auth.conftest import FakeClock, Server


async def _key(store: Store, tenant: Tenant) -> IssuedKey:
    return await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])


async def test_key_is_read_back_as_it_was_created(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """A key comes back equal, time zone included."""
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["usage:read", "predict"],
        expires_at=(clock.now + timedelta(days=1)).astimezone(timezone(timedelta(hours=5))),
        is_test=True,
        requests_per_second=2.0,
        burst=4,
    )
    assert await store.get_key(tenant.tenant_id, issued.key.key_id) == issued.key
    assert issued.key.scopes == ("predict", "usage:read")
    assert issued.api_key.startswith(f"tg_test_{issued.key.key_id}_")


async def test_bindings_are_kept_in_canonical_form(store: Store, tenant: Tenant) -> None:
    """Models and networks come back as they were understood."""
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        bindings=Bindings(("b", "a", "b"), ("::ffff:10.0.0.0/104", "192.0.2.7")),
    )
    key = await store.get_key(tenant.tenant_id, issued.key.key_id)
    assert (key.models, key.networks) == (("b", "a"), ("10.0.0.0/8", "192.0.2.7/32"))


@pytest.mark.parametrize(
    ("bindings", "field"),
    [
        (Bindings(models=()), "models"),
        (Bindings(models=("*",)), "models"),
        (Bindings(models=("a/b",)), "models"),
        (Bindings(networks=()), "networks"),
        (Bindings(networks=("10.0.0.1/8",)), "networks"),
    ],
)
async def test_binding_that_says_nothing_is_refused(
    store: Store, tenant: Tenant, *, bindings: Bindings, field: str
) -> None:
    """An empty list is more likely a mistake than a key that can do nothing."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_key(
            tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"], bindings=bindings
        )
    assert refusal.value.field == field


async def test_bound_key_uses_models_that_are_granted_and_its_own(
    store: Store, tenant: Tenant, server: Server
) -> None:
    """The intersection holds at every request, however the tenant's grants change."""
    issued = await store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"], bindings=Bindings(("a", "b"))
    )
    for granted, usable in ((["*"], "ab"), (["b", "c"], "b"), (["c"], "")):
        await store.update_tenant(tenant.tenant_id, actor=TESTER, models=granted)
        assert (await server.principal(issued.api_key)).models == frozenset(usable)


async def test_rotated_key_is_bound_as_before(store: Store, tenant: Tenant, server: Server) -> None:
    """A new secret loosens nothing."""
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        bindings=Bindings(("a",), ("192.0.2.0/24",)),
    )
    rotated = await store.rotate_key(
        tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=0
    )
    principal = await server.principal(rotated.api_key)
    assert principal.bound_models == frozenset({"a"})
    assert principal.networks == networks_of(("192.0.2.0/24",))


async def test_secret_is_in_no_representation(store: Store, tenant: Tenant) -> None:
    """An issued key can be logged."""
    issued = await _key(store, tenant)
    secret = issued.api_key.rpartition("_")[2]
    assert secret not in f"{issued!r} {issued} {[issued]}"


async def test_secret_is_not_in_the_database(store: Store, tenant: Tenant, data_dir: Path) -> None:
    """Whoever copies the files or the tables gets no secret, in no encoding."""
    issued = await _key(store, tenant)
    rotated = await store.rotate_key(
        tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=60
    )
    written = _bytes_below(data_dir) + await _bytes_of_tables(store._engine)
    assert issued.key.key_id.encode() in written
    for text in (issued.api_key, rotated.api_key):
        secret = text.rpartition("_")[2].encode()
        for spelled in (secret, base64.b64encode(text.encode()), secret.hex().encode()):
            assert spelled not in written


async def test_key_needs_a_tenant(store: Store) -> None:
    """No key without an owner."""
    with pytest.raises(TenantNotFound):
        await store.create_key("ten_unknown", actor=TESTER, name="k", scopes=["predict"])


@pytest.mark.parametrize("scopes", [[], ["everything"], ["predict", "tenants:write"], ["*"]])
async def test_scopes_that_a_customer_cannot_have_are_refused(
    store: Store, tenant: Tenant, scopes: list[str]
) -> None:
    """None, unknown ones and those of the platform."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=scopes)
    assert refusal.value.field == "scopes"


async def test_platform_keys_may_hold_platform_scopes(store: Store) -> None:
    """The platform's own keys reach every tenant."""
    issued = await store.create_key(
        PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=["tenants:write"]
    )
    assert issued.key.scopes == ("tenants:write",)


@pytest.mark.parametrize(
    "expires_at",
    [
        datetime(2026, 11, 5, 12, 0, tzinfo=UTC),
        datetime(2030, 1, 1),  # noqa: DTZ001 (the subject)
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
async def test_unusable_expiry_is_refused(
    store: Store, tenant: Tenant, expires_at: datetime
) -> None:
    """An end is in the future, has a time zone and is within the calendar."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_key(
            tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"], expires_at=expires_at
        )
    assert refusal.value.field == "expires_at"


async def test_key_limit_above_the_plan_is_refused(store: Store) -> None:
    """A tenant cannot lift its plan by making a key."""
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=10,
        burst=20,
        units_per_month=None,
        max_in_flight=None,
    )
    tenant = await store.create_tenant(
        actor=TESTER, name="Acme", plan_id=plan.plan_id, models=["*"]
    )
    for rate, burst, field in ((11, None, "requests_per_second"), (5, 21, "burst")):
        with pytest.raises(InvalidChange) as refusal:
            await store.create_key(
                tenant.tenant_id,
                actor=TESTER,
                name="k",
                scopes=["predict"],
                requests_per_second=rate,
                burst=burst,
            )
        assert refusal.value.field == field


async def test_unknown_and_foreign_keys_are_refused_alike(store: Store, tenant: Tenant) -> None:
    """Another tenant's key looks like one that never was."""
    foreign = (await _key(store, tenant)).key.key_id
    other = await store.create_tenant(actor=TESTER, name="Other", plan_id=None, models=["*"])
    told: list[tuple[type[AuthError], str]] = []
    for key_id in (foreign, "0" * 16, "a:*{}\n", "\x00", "\ud800"):
        for attempt in (
            store.get_key(other.tenant_id, key_id),
            store.revoke_key(other.tenant_id, key_id, actor=TESTER),
            store.rotate_key(other.tenant_id, key_id, actor=TESTER, overlap_seconds=0),
        ):
            with pytest.raises(KeyNotFound) as refusal:
                await attempt
            told.append((type(refusal.value), str(refusal.value)))
    assert len(set(told)) == 1
    assert (await store.get_key(tenant.tenant_id, foreign)).revoked_at is None


async def test_list_shows_own_keys_alone(store: Store, tenant: Tenant) -> None:
    """A list is one tenant's, page by page."""
    own = sorted([(await _key(store, tenant)).key.key_id for _ in range(3)])
    other = await store.create_tenant(actor=TESTER, name="Other", plan_id=None, models=["*"])
    await _key(store, other)
    first = await store.list_keys(tenant.tenant_id, after=None, limit=2)
    rest = await store.list_keys(tenant.tenant_id, after=first[-1].key_id, limit=2)
    assert [key.key_id for key in first + rest] == own


async def test_list_of_an_unknown_tenant_is_not_found(store: Store) -> None:
    """An empty list would say that the tenant is there."""
    with pytest.raises(TenantNotFound):
        await store.list_keys("ten_unknown", after=None, limit=2)


async def test_revoking_twice_keeps_the_first_time(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """Revoking is idempotent."""
    key_id = (await _key(store, tenant)).key.key_id
    revoked_at = clock.now
    await store.revoke_key(tenant.tenant_id, key_id, actor=TESTER)
    clock.advance(60)
    await store.revoke_key(tenant.tenant_id, key_id, actor=TESTER)
    assert (await store.get_key(tenant.tenant_id, key_id)).revoked_at == revoked_at


async def test_revoked_key_cannot_be_rotated(store: Store, tenant: Tenant) -> None:
    """A rotation does not bring a key back."""
    key_id = (await _key(store, tenant)).key.key_id
    await store.revoke_key(tenant.tenant_id, key_id, actor=TESTER)
    with pytest.raises(CredentialEnded):
        await store.rotate_key(tenant.tenant_id, key_id, actor=TESTER, overlap_seconds=0)


async def test_expired_key_cannot_be_rotated(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """A new secret for an expired key would be dead on arrival."""
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        expires_at=clock.now + timedelta(seconds=10),
    )
    clock.advance(10)
    with pytest.raises(CredentialEnded):
        await store.rotate_key(tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=0)


@pytest.mark.parametrize("overlap_seconds", [-1, 10**12])
async def test_unreasonable_overlap_is_refused(
    store: Store, tenant: Tenant, overlap_seconds: int
) -> None:
    """An overlap is neither negative nor for ever."""
    key_id = (await _key(store, tenant)).key.key_id
    with pytest.raises(InvalidChange) as refusal:
        await store.rotate_key(
            tenant.tenant_id, key_id, actor=TESTER, overlap_seconds=overlap_seconds
        )
    assert refusal.value.field == "overlap_seconds"


async def test_last_used_never_goes_back(store: Store, tenant: Tenant, clock: FakeClock) -> None:
    """Of two workers' notes the later one stays."""
    key_id = (await _key(store, tenant)).key.key_id
    late, early = clock.now + timedelta(seconds=5), clock.now
    await store.touch_last_used({key_id: late, "unknown": late})
    await store.touch_last_used({key_id: early})
    assert (await store.get_key(tenant.tenant_id, key_id)).last_used_at == late


def _bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def _bytes_of_tables(engine: AsyncEngine) -> bytes:
    """Return every value of every table, bytes as they are and the rest as text."""
    async with engine.connect() as connection:
        values = [
            value
            for table in metadata.sorted_tables
            for row in await connection.execute(select(table))
            for value in row
        ]
    return b"".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
