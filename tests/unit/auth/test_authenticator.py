"""Who calls, answered from memory."""

from dataclasses import replace
from datetime import timedelta

import pytest

from auth.api_keys import SecretKind, mint
from auth.authenticator import Authenticator
from auth.errors import CredentialInvalid, TenantSuspended
from auth.keyset import Keyset
from auth.secret_files import VersionedSecret
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID, IssuedKey, Tenant
from tests.actors import TESTER
from tests.tokens import token_gate
from tests.unit.auth.conftest import FakeClock, Server


@pytest.fixture
async def issued(store: Store, tenant: Tenant) -> IssuedKey:
    """Return a key that may predict."""
    return await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])


async def test_principal_says_what_the_key_and_the_plan_say(
    store: Store, keyset: Keyset, authenticator: Authenticator
) -> None:
    """Scopes come from the key, models from the tenant, limits from both."""
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=10,
        burst=20,
        units_per_month=500,
        max_in_flight=4,
        weight=5,
    )
    tenant = await store.create_tenant(
        actor=TESTER, name="Acme", plan_id=plan.plan_id, models=["housing"]
    )
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        is_test=True,
        requests_per_second=2,
    )
    await keyset.refresh()
    principal = authenticator.authenticate(issued.api_key)
    assert (principal.tenant_id, principal.credential_id) == (tenant.tenant_id, issued.key.key_id)
    assert principal.scopes == {"predict"}
    assert principal.models == frozenset({"housing"})
    assert (principal.is_test, principal.is_platform) == (True, False)
    assert (principal.requests_per_second, principal.burst) == (2, 2)
    assert (principal.units_per_month, principal.max_in_flight) == (500, 4)
    assert principal.weight == 5


async def test_platform_principal_is_marked(
    store: Store, keyset: Keyset, authenticator: Authenticator
) -> None:
    """A key of the platform has no limits and every model."""
    admin = await store.create_key(
        PLATFORM_TENANT_ID, actor=TESTER, name="a", scopes=["tenants:read"]
    )
    await keyset.refresh()
    principal = authenticator.authenticate(admin.api_key)
    assert principal.is_platform
    assert (principal.models, principal.requests_per_second) == (None, None)


async def test_same_key_gets_the_same_principal(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """What did not change is not built again, whatever else does."""
    first = await server.principal(issued.api_key)
    rotated = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=60
    )
    assert await server.principal(issued.api_key) is first
    assert await server.principal(rotated.api_key) is first


@pytest.mark.parametrize("is_known", [True, False])
async def test_unknown_and_wrong_keys_are_refused_alike(
    issued: IssuedKey, keyset: Keyset, authenticator: Authenticator, *, is_known: bool
) -> None:
    """A well-formed key that was never issued is invalid, known id or not."""
    await keyset.refresh()
    forged = mint(kind="live", key_id=issued.key.key_id if is_known else None)
    with pytest.raises(CredentialInvalid):
        authenticator.authenticate(forged.text)


async def test_test_key_is_no_live_key(
    issued: IssuedKey, keyset: Keyset, authenticator: Authenticator
) -> None:
    """The prefix is part of what is proved."""
    await keyset.refresh()
    with pytest.raises(CredentialInvalid):
        authenticator.authenticate(issued.api_key.replace("tg_live_", "tg_test_"))


async def test_key_of_another_pepper_is_refused(
    issued: IssuedKey, keyset: Keyset, clock: FakeClock
) -> None:
    """The digests are worth nothing without the pepper."""
    await keyset.refresh()
    other = Authenticator(
        keyset,
        pepper=VersionedSecret({1: b"another pepper of 32 bytes, at least"}),
        tokens=token_gate(keyset, clock.seconds),
        now=clock.seconds,
    )
    with pytest.raises(CredentialInvalid):
        other.authenticate(issued.api_key)


async def test_revocation_by_another_process_stops_the_next_request(
    server: Server, cli_store: Store, issued: IssuedKey
) -> None:
    """A key revoked on the command line fails in the running server at once."""
    assert await server.accepts(issued.api_key)
    await cli_store.revoke_key(issued.key.tenant_id, issued.key.key_id, actor=TESTER)
    assert not await server.accepts(issued.api_key)


async def test_new_key_works_at_once(server: Server, cli_store: Store, tenant: Tenant) -> None:
    """A key is good from the moment its answer arrives."""
    assert not await server.accepts(mint(kind="live").text)
    issued = await cli_store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    assert await server.accepts(issued.api_key)


async def test_rotated_secret_works_until_its_overlap_ends(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """The old secret goes on for the overlap, the new one from now on."""
    rotated = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=60
    )
    server.clock.advance(59.9)
    assert await server.accepts(issued.api_key)
    assert await server.accepts(rotated.api_key)
    server.clock.advance(0.1)
    assert not await server.accepts(issued.api_key)
    assert await server.accepts(rotated.api_key)


async def test_second_rotation_never_lengthens_a_secret(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """A secret that was to end soon keeps its end."""
    second = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=10
    )
    third = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=1000
    )
    server.clock.advance(10)
    assert not await server.accepts(issued.api_key)
    assert await server.accepts(second.api_key)
    assert await server.accepts(third.api_key)


async def test_second_rotation_can_shorten_a_secret(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """A rotation without overlap ends every earlier secret now."""
    second = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=1000
    )
    third = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=0
    )
    assert not await server.accepts(issued.api_key)
    assert not await server.accepts(second.api_key)
    assert await server.accepts(third.api_key)


async def test_revocation_ends_every_secret(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """An overlap does not outlive the key."""
    rotated = await store.rotate_key(
        issued.key.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=1000
    )
    await store.revoke_key(issued.key.tenant_id, issued.key.key_id, actor=TESTER)
    assert not await server.accepts(issued.api_key)
    assert not await server.accepts(rotated.api_key)


async def test_key_expires_without_anybody_doing_anything(
    server: Server, store: Store, tenant: Tenant
) -> None:
    """The end is exclusive: at `expires_at` the key is dead."""
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        expires_at=server.clock.now + timedelta(seconds=10),
    )
    server.clock.advance(9.9)
    assert await server.accepts(issued.api_key)
    server.clock.advance(0.1)
    assert not await server.accepts(issued.api_key)


async def test_suspended_tenant_is_told_so_and_comes_back(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """Only the owner of a good key learns of the suspension."""
    await store.update_tenant(issued.key.tenant_id, actor=TESTER, status="suspended")
    with pytest.raises(TenantSuspended):
        await server.principal(issued.api_key)
    with pytest.raises(CredentialInvalid):
        await server.principal(mint(kind="live", key_id=issued.key.key_id).text)
    await store.update_tenant(issued.key.tenant_id, actor=TESTER, status="active")
    await server.principal(issued.api_key)


async def test_change_of_plan_reaches_existing_keys(
    server: Server, store: Store, issued: IssuedKey
) -> None:
    """Limits follow the plan from the next request on."""
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=3,
        burst=7,
        units_per_month=None,
        max_in_flight=None,
    )
    await store.update_tenant(issued.key.tenant_id, actor=TESTER, plan_id=plan.plan_id, models=[])
    principal = await server.principal(issued.api_key)
    assert (principal.requests_per_second, principal.burst) == (3, 7)
    assert not principal.may_use("housing")


async def test_lower_plan_beats_the_limit_of_a_key(
    store: Store, keyset: Keyset, authenticator: Authenticator
) -> None:
    """A key's own limit never lifts its tenant above the plan."""
    tenant = await store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        requests_per_second=100,
        burst=200,
    )
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=3,
        burst=7,
        units_per_month=None,
        max_in_flight=None,
    )
    await store.update_tenant(tenant.tenant_id, actor=TESTER, plan_id=plan.plan_id)
    await keyset.refresh()
    principal = authenticator.authenticate(issued.api_key)
    assert (principal.requests_per_second, principal.burst) == (3, 7)


async def test_limit_that_the_platform_set_beats_the_plan(
    store: Store, keyset: Keyset, authenticator: Authenticator
) -> None:
    """The seller may give one key more, or less, than its tenant's plan."""
    plan = await store.create_plan(
        actor=TESTER,
        name="p",
        requests_per_second=3,
        burst=7,
        units_per_month=None,
        max_in_flight=None,
    )
    tenant = await store.create_tenant(
        actor=TESTER, name="Acme", plan_id=plan.plan_id, models=["*"]
    )
    issued = await store.create_key(
        tenant.tenant_id,
        actor=TESTER,
        name="k",
        scopes=["predict"],
        requests_per_second=100,
        may_exceed_plan=True,
    )
    await keyset.refresh()
    principal = authenticator.authenticate(issued.api_key)
    assert principal.requests_per_second == 100


async def test_last_use_is_handed_over_once(server: Server, issued: IssuedKey) -> None:
    """Accepted requests are noted, refused ones are not."""
    await server.principal(issued.api_key)
    with pytest.raises(CredentialInvalid):
        await server.principal(mint(kind="live").text)
    assert server.authenticator.take_last_used() == {issued.key.key_id: server.clock.now}
    assert server.authenticator.take_last_used() == {}


@pytest.mark.parametrize("kind", ["clnt", "boot"])
async def test_secret_that_is_not_for_requests_is_refused(server: Server, kind: SecretKind) -> None:
    """The secret of a client and the bootstrap token open their own doors only."""
    assert not await server.accepts(mint(kind=kind).text)


async def test_key_in_use_is_proven_once(
    server: Server, issued: IssuedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nothing about it changes; what changes is proven anew."""
    authenticator = server.authenticator
    await server.keyset.refresh()
    principal = authenticator.authenticate(issued.api_key)
    with monkeypatch.context() as patched:
        patched.setattr(authenticator, "_match", None)
        assert authenticator.authenticate(issued.api_key) is principal
    entry = server.keyset.find(issued.key.key_id)
    assert entry is not None
    server.keyset._entries[issued.key.key_id] = replace(entry, secrets=())
    with pytest.raises(CredentialInvalid):
        authenticator.authenticate(issued.api_key)


async def test_refused_keys_are_not_remembered(server: Server, issued: IssuedKey) -> None:
    """Whoever has no credential takes no memory."""
    await server.keyset.refresh()
    refused = [mint(kind="live").text, mint(kind="live", key_id=issued.key.key_id).text, "tg", ""]
    for text in refused:
        with pytest.raises(CredentialInvalid):
            server.authenticator.authenticate(text)
    assert len(server.authenticator._proven) == 0
