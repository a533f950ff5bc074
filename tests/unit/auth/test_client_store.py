"""OAuth2 clients in SQL, and as credentials of the keyset."""

from datetime import timedelta

import pytest

from auth.api_keys import digest, parse
from auth.clients import Client
from auth.entries import CredentialEntry
from auth.errors import (
    AssertionReplayed,
    ClientNotFound,
    CredentialEnded,
    InvalidChange,
    RotationMismatch,
    TenantNotFound,
)
from auth.keyset import Keyset
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID, Tenant
from tests.actors import TESTER
from tests.unit.auth.conftest import PEPPER, FakeClock
from tests.unit.auth.jwks import make_pair

FIRST, SECOND = make_pair("ES256"), make_pair("ES384")


async def entry_of(keyset: Keyset, client_id: str) -> CredentialEntry:
    """Return what a server knows of a client now."""
    if not keyset.is_current():
        await keyset.refresh()
    entry = keyset.find(client_id)
    assert entry is not None
    return entry


async def make_client(store: Store, tenant: Tenant, **fields: object) -> Client:
    """Make a client and return it as it is stored."""
    wish = {"name": "c", "scopes": ["predict"]} | fields
    issued = await store.create_client(tenant.tenant_id, actor=TESTER, **wish)  # type: ignore[arg-type]
    return issued.client


async def names_of(store: Store, client: Client) -> list[str]:
    """Return the names of the keys that count now."""
    found = await store.get_client(client.tenant_id, client.client_id)
    return [key.name for key in found.keys]


async def test_client_is_read_back(store: Store, tenant: Tenant, clock: FakeClock) -> None:
    """With all of its values."""
    issued = await store.create_client(
        tenant.tenant_id,
        actor=TESTER,
        name=" nightly ",
        scopes=["usage:read", "predict"],
        expires_at=clock.now + timedelta(days=1),
        requests_per_second=2.5,
    )
    found = await store.get_client(tenant.tenant_id, issued.client.client_id)
    assert found == issued.client
    assert (found.name, found.scopes, found.burst) == ("nightly", ("predict", "usage:read"), 3)
    assert found.authentication == "client_secret"


async def test_secret_belongs_to_its_client(store: Store, tenant: Tenant) -> None:
    """Its middle part is the id without the prefix, and it is not in what can be logged."""
    issued = await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"])
    assert issued.client_secret is not None
    parsed = parse(issued.client_secret)
    assert (f"cli_{parsed.key_id}", parsed.kind) == (issued.client.client_id, "clnt")
    assert issued.client_secret not in repr(issued)


async def test_client_with_keys_has_no_secret(store: Store, tenant: Tenant) -> None:
    """It brings the public half of its own."""
    issued = await store.create_client(
        tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"], jwks=FIRST.jwks(kid="a")
    )
    assert issued.client_secret is None
    found = await store.get_client(tenant.tenant_id, issued.client.client_id)
    assert found.authentication == "private_key_jwt"
    assert found.keys == issued.client.keys
    assert await store.read_assertion_keys(found.client_id) == found.keys


@pytest.mark.parametrize("scopes", [[], ["no such scope"], ["usage:read:all"]])
async def test_scopes_that_a_tenant_may_not_hold_are_refused(
    store: Store, tenant: Tenant, scopes: list[str]
) -> None:
    """As for keys."""
    with pytest.raises(InvalidChange):
        await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=scopes)


async def test_client_of_the_platform_may_hold_its_scopes(store: Store, keyset: Keyset) -> None:
    """Billing reads everybody's usage."""
    issued = await store.create_client(
        PLATFORM_TENANT_ID, actor=TESTER, name="billing", scopes=["usage:read:all"]
    )
    entry = await entry_of(keyset, issued.client.client_id)
    assert entry.principal.scopes == {"usage:read:all"}
    assert entry.principal.is_platform


async def test_limit_above_the_plan_is_refused(store: Store) -> None:
    """A tenant's own word only tightens; the platform's holds whatever the plan says."""
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=5,
        burst=5,
        units_per_month=None,
        max_in_flight=None,
    )
    tenant = await store.create_tenant(actor=TESTER, name="t", plan_id=plan.plan_id, models=["*"])
    with pytest.raises(InvalidChange):
        await make_client(store, tenant, requests_per_second=6)
    client = await make_client(store, tenant, requests_per_second=6, may_exceed_plan=True)
    assert client.requests_per_second == 6


async def test_client_needs_a_tenant(store: Store) -> None:
    """And the refusal leaves nothing behind."""
    with pytest.raises(TenantNotFound):
        await store.create_client("ten_none", actor=TESTER, name="c", scopes=["predict"])


async def test_client_of_another_tenant_is_not_found(store: Store, tenant: Tenant) -> None:
    """By no operation."""
    other = await store.create_tenant(actor=TESTER, name="other", plan_id=None, models=["*"])
    client = await make_client(store, other)
    for owner, client_id in [
        (tenant.tenant_id, client.client_id),
        (tenant.tenant_id, "cli_0000000000000000"),
        (tenant.tenant_id, "cli_\x00"),
        ("ten_\ud800", client.client_id),
    ]:
        with pytest.raises(ClientNotFound):
            await store.get_client(owner, client_id)
        with pytest.raises(ClientNotFound):
            await store.revoke_client(owner, client_id, actor=TESTER)
        with pytest.raises(ClientNotFound):
            await store.rotate_client(owner, client_id, actor=TESTER, overlap_seconds=0)
    assert await store.get_client(other.tenant_id, client.client_id) == client


async def test_clients_are_listed_page_by_page(store: Store, tenant: Tenant) -> None:
    """In the order of their ids, with their keys."""
    made = [await make_client(store, tenant, jwks=FIRST.jwks(kid=str(n))) for n in range(3)]
    made.sort(key=lambda client: client.client_id)
    first = await store.list_clients(tenant.tenant_id, after=None, limit=2)
    rest = await store.list_clients(tenant.tenant_id, after=first[-1].client_id, limit=2)
    assert first + rest == made


async def test_keyset_knows_a_client_and_its_secret(
    store: Store, keyset: Keyset, tenant: Tenant
) -> None:
    """As a credential of its own kind."""
    issued = await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"])
    entry = await entry_of(keyset, issued.client.client_id)
    assert (entry.principal.kind, *entry.principal.scopes) == ("client", "predict")
    assert entry.principal.credential_id == issued.client.client_id
    assert [secret.digest for secret in entry.secrets] == [
        digest(PEPPER, issued.client_secret or "")
    ]


async def test_revocation_by_another_process_is_seen_at_once(
    cli_store: Store, keyset: Keyset, tenant: Tenant
) -> None:
    """And once more changes nothing."""
    client = await make_client(cli_store, tenant)
    assert not (await entry_of(keyset, client.client_id)).is_revoked
    await cli_store.revoke_client(tenant.tenant_id, client.client_id, actor=TESTER)
    assert (await entry_of(keyset, client.client_id)).is_revoked
    revoked_at = (await cli_store.get_client(tenant.tenant_id, client.client_id)).revoked_at
    await cli_store.revoke_client(tenant.tenant_id, client.client_id, actor=TESTER)
    found = await cli_store.get_client(tenant.tenant_id, client.client_id)
    assert found.revoked_at == revoked_at is not None


async def test_suspension_of_the_tenant_reaches_its_clients(
    store: Store, keyset: Keyset, tenant: Tenant
) -> None:
    """At once."""
    client = await make_client(store, tenant)
    await store.update_tenant(tenant.tenant_id, actor=TESTER, status="suspended")
    assert (await entry_of(keyset, client.client_id)).is_suspended


async def test_rotated_secret_goes_on_for_the_overlap(
    store: Store, keyset: Keyset, tenant: Tenant
) -> None:
    """And a second rotation does not make it longer."""
    issued = await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"])
    client_id = issued.client.client_id
    second = await store.rotate_client(
        tenant.tenant_id, client_id, actor=TESTER, overlap_seconds=60
    )
    third = await store.rotate_client(
        tenant.tenant_id, client_id, actor=TESTER, overlap_seconds=3600
    )
    ends = {
        secret.digest: secret.expires_at_seconds - issued.client.created_at.timestamp()
        for secret in (await entry_of(keyset, client_id)).secrets
    }
    texts = [item.client_secret or "" for item in (issued, second, third)]
    assert [ends[digest(PEPPER, text)] for text in texts] == [60, 3600, float("inf")]


async def test_secret_that_has_ended_is_dropped_at_the_next_rotation(
    store: Store, keyset: Keyset, tenant: Tenant
) -> None:
    """Nothing is kept that opens nothing."""
    issued = await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"])
    client_id = issued.client.client_id
    for _ in range(3):
        await store.rotate_client(tenant.tenant_id, client_id, actor=TESTER, overlap_seconds=0)
    assert len((await entry_of(keyset, client_id)).secrets) == 2


async def test_rotated_keys_go_on_for_the_overlap(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """Those that are in the new set stay, the others end."""
    client = await make_client(store, tenant, jwks=FIRST.jwks(kid="a"))
    both = {"keys": [*FIRST.jwks(kid="a")["keys"], *SECOND.jwks(kid="b")["keys"]]}
    await store.rotate_client(
        tenant.tenant_id, client.client_id, actor=TESTER, overlap_seconds=0, jwks=both
    )
    assert await names_of(store, client) == ["a", "b"]
    await store.rotate_client(
        tenant.tenant_id,
        client.client_id,
        actor=TESTER,
        overlap_seconds=60,
        jwks=SECOND.jwks(kid="b"),
    )
    assert await names_of(store, client) == ["a", "b"]
    clock.advance(60)
    assert await names_of(store, client) == ["b"]


async def test_rotation_that_does_not_fit_is_refused(store: Store, tenant: Tenant) -> None:
    """A client goes on as it began, and a name goes on meaning its key."""
    with_secret = await make_client(store, tenant)
    with_keys = await make_client(store, tenant, jwks=FIRST.jwks(kid="a"))
    for client, jwks in [
        (with_secret, FIRST.jwks()),
        (with_keys, None),
        (with_keys, SECOND.jwks(kid="a")),
    ]:
        with pytest.raises(RotationMismatch):
            await store.rotate_client(
                tenant.tenant_id, client.client_id, actor=TESTER, overlap_seconds=0, jwks=jwks
            )


async def test_client_that_has_ended_is_not_rotated(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """Neither revoked nor expired ones come back."""
    revoked = await make_client(store, tenant)
    await store.revoke_client(tenant.tenant_id, revoked.client_id, actor=TESTER)
    expired = await make_client(store, tenant, expires_at=clock.now + timedelta(seconds=1))
    clock.advance(1)
    for client in (revoked, expired):
        with pytest.raises(CredentialEnded):
            await store.rotate_client(
                tenant.tenant_id, client.client_id, actor=TESTER, overlap_seconds=0
            )


async def test_last_use_never_goes_back(store: Store, keyset: Keyset, tenant: Tenant) -> None:
    """Nor does it make anybody reload; ids of keys are left alone."""
    client = await make_client(store, tenant)
    await keyset.refresh()
    earlier, later = client.created_at, client.created_at + timedelta(seconds=9)
    await store.touch_clients({client.client_id: later, "0123456789abcdef": later})
    await store.touch_clients({client.client_id: earlier})
    found = await store.get_client(tenant.tenant_id, client.client_id)
    assert found.last_used_at == later
    assert keyset.is_current()


async def test_assertion_is_accepted_once(store: Store, cli_store: Store, clock: FakeClock) -> None:
    """On whichever server; another client may use the same name for one of its own."""
    expires_at = clock.now + timedelta(seconds=60)
    await store.use_assertion("cli_a", "one", expires_at=expires_at)
    await store.use_assertion("cli_b", "one", expires_at=expires_at)
    await store.use_assertion("cli_a", "two", expires_at=expires_at)
    for server in (store, cli_store):
        with pytest.raises(AssertionReplayed):
            await server.use_assertion("cli_a", "one", expires_at=expires_at)


async def test_expired_assertions_are_forgotten(store: Store, clock: FakeClock) -> None:
    """And the others are not."""
    soon, late = clock.now + timedelta(seconds=60), clock.now + timedelta(seconds=120)
    await store.use_assertion("cli_a", "soon", expires_at=soon)
    await store.use_assertion("cli_a", "late", expires_at=late)
    clock.advance(60)
    await store.forget_assertions()
    await store.use_assertion("cli_a", "soon", expires_at=late)
    with pytest.raises(AssertionReplayed):
        await store.use_assertion("cli_a", "late", expires_at=late)


@pytest.mark.parametrize("client_id", ["cli_none", "", "\x00", "\ud800"])
async def test_stranger_has_no_keys(store: Store, client_id: str) -> None:
    """Whatever it says its id is."""
    assert await store.read_assertion_keys(client_id) == ()
