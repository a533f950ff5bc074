"""Who calls with a token: its client as it is now, within the token's scopes."""

from datetime import timedelta

import pytest

from auth.errors import CredentialInvalid, TenantSuspended
from auth.keyset import Keyset
from auth.scopes import KEYS_READ, MODELS_READ, PREDICT
from auth.store import Store
from auth.tenants import Tenant
from auth.token_gate import TokenGate
from auth.tokens import IssuedToken
from tests.actors import TESTER
from tests.tokens import Office, token_gate
from tests.unit.auth.conftest import FakeClock, Server


@pytest.fixture
async def client_id(office: Office, tenant: Tenant) -> str:
    """Return a client that may predict and look at models."""
    return await office.client(tenant.tenant_id, PREDICT, MODELS_READ)


@pytest.fixture
async def issued(office: Office, tenant: Tenant, client_id: str) -> IssuedToken:
    """Return a token of the client for all that it may."""
    return await office.token(tenant.tenant_id, client_id, PREDICT, MODELS_READ)


async def test_principal_is_the_client(
    *, server: Server, issued: IssuedToken, tenant: Tenant, client_id: str
) -> None:
    """Usage and limits are the client's, whatever token it shows."""
    principal = await server.principal(issued.text)
    assert (principal.kind, principal.credential_id) == ("client", client_id)
    assert principal.tenant_id == tenant.tenant_id
    assert principal.scopes == {PREDICT, MODELS_READ}


async def test_scopes_are_those_of_the_token_that_the_client_has(
    *, server: Server, office: Office, tenant: Tenant, client_id: str
) -> None:
    """A token narrows, and never widens, what its client may."""
    narrow = await office.token(tenant.tenant_id, client_id, PREDICT)
    wide = await office.token(tenant.tenant_id, client_id, PREDICT, KEYS_READ)
    assert (await server.principal(narrow.text)).scopes == {PREDICT}
    assert (await server.principal(wide.text)).scopes == {PREDICT}


@pytest.mark.parametrize("scopes", [(PREDICT,), (PREDICT, MODELS_READ)])
async def test_tokens_of_the_same_scopes_have_one_principal(
    *, server: Server, office: Office, tenant: Tenant, client_id: str, scopes: tuple[str, ...]
) -> None:
    """What is remembered for a principal, as its limits are, is not built for each token."""
    first, second = [await office.token(tenant.tenant_id, client_id, *scopes) for _ in range(2)]
    principal = await server.principal(first.text)
    assert await server.principal(first.text) is principal
    assert await server.principal(second.text) is principal


async def test_use_of_a_token_is_noted_with_its_client(
    *, server: Server, issued: IssuedToken, client_id: str, clock: FakeClock
) -> None:
    """The client's `last_used_at` follows from it."""
    await server.principal(issued.text)
    assert server.authenticator.take_last_used() == {client_id: clock.now}


async def test_change_of_the_tenant_shows_in_the_next_request(
    *, server: Server, store: Store, issued: IssuedToken, tenant: Tenant
) -> None:
    """A token that was seen before carries nothing old with it."""
    before = await server.principal(issued.text)
    await store.update_tenant(tenant.tenant_id, actor=TESTER, models=["housing"])
    after = await server.principal(issued.text)
    assert (before.models, after.models) == (None, frozenset({"housing"}))


async def test_revoked_token_is_refused_and_others_go_on(
    *, server: Server, cli_store: Store, office: Office, issued: IssuedToken
) -> None:
    """Another process revokes it, and the next request knows; the same client's others stay."""
    claims = issued.claims
    other = await office.token(claims.tenant_id, claims.client_id, PREDICT)
    assert await server.accepts(issued.text)
    await cli_store.revoke_token(claims, actor=TESTER)
    assert not await server.accepts(issued.text)
    assert await server.accepts(other.text)


async def test_client_that_is_revoked_stops_its_tokens(
    server: Server, cli_store: Store, issued: IssuedToken
) -> None:
    """Nobody has to wait until they expire."""
    assert await server.accepts(issued.text)
    await cli_store.revoke_client(issued.claims.tenant_id, issued.claims.client_id, actor=TESTER)
    assert not await server.accepts(issued.text)


async def test_suspended_tenant_is_told_so_and_comes_back(
    server: Server, store: Store, issued: IssuedToken
) -> None:
    """As with a key."""
    assert await server.accepts(issued.text)
    await store.update_tenant(issued.claims.tenant_id, actor=TESTER, status="suspended")
    with pytest.raises(TenantSuspended):
        await server.principal(issued.text)
    await store.update_tenant(issued.claims.tenant_id, actor=TESTER, status="active")
    assert await server.accepts(issued.text)


async def test_revoked_signing_key_stops_all_of_its_tokens(
    server: Server, cli_store: Store, issued: IssuedToken
) -> None:
    """Also those that were seen before."""
    assert await server.accepts(issued.text)
    await cli_store.revoke_signing_key(issued.claims.kid, actor=TESTER)
    assert not await server.accepts(issued.text)


async def test_rotated_signing_key_stops_none(
    *, server: Server, cli_store: Store, issued: IssuedToken, clock: FakeClock
) -> None:
    """Seen before or not, a token lives as long as it says."""
    assert await server.accepts(issued.text)
    clock.advance(5)
    await cli_store.rotate_signing_key(actor=TESTER, at_once=True)
    assert await server.accepts(issued.text)
    clock.advance(issued.claims.expires_at - issued.claims.issued_at)
    assert not await server.accepts(issued.text)


async def test_client_that_is_not_known_may_be_of_another_machine(
    *, office: Office, keyset: Keyset, tenant: Tenant, clock: FakeClock
) -> None:
    """It is worth a look into SQL; one that is of another kind is not."""
    gate = token_gate(keyset, clock.seconds)
    key = await office.store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=[PREDICT])
    for credential_id, is_unknown in (("cli_unknown", True), (key.key.key_id, False)):
        token = await office.token(tenant.tenant_id, credential_id, PREDICT)
        with pytest.raises(CredentialInvalid) as refusal:
            gate.authenticate(token.text)
        assert refusal.value.is_unknown is is_unknown


@pytest.fixture
def gate(keyset: Keyset, clock: FakeClock) -> TokenGate:
    """Return a gate that remembers four tokens, and eight at most."""
    return token_gate(keyset, clock.seconds, most_cached=4)


async def test_memory_of_tokens_is_bounded(
    gate: TokenGate, office: Office, issued: IssuedToken
) -> None:
    """A client that asks for token after token takes no more of it, and is served all the same."""
    claims = issued.claims
    for _ in range(30):
        token = await office.token(claims.tenant_id, claims.client_id, PREDICT)
        gate.authenticate(token.text)
        gate.authenticate(issued.text)
    assert len(gate._seen) <= 8


async def test_refused_tokens_are_not_remembered(gate: TokenGate, issued: IssuedToken) -> None:
    """Whoever has no credential takes no memory."""
    for text in (issued.text[:-1], issued.text + "A", "eyJ", "eyJ" + "A" * 5000):
        with pytest.raises(CredentialInvalid):
            gate.authenticate(text)
    assert len(gate._seen) == 0


async def test_token_in_use_is_verified_once(
    gate: TokenGate, office: Office, issued: IssuedToken
) -> None:
    """However many others come and go, one that is used stays remembered."""
    gate.authenticate(issued.text)
    seen = gate._verified(issued.text)
    for _ in range(30):
        token = await office.token(issued.claims.tenant_id, issued.claims.client_id, PREDICT)
        gate.authenticate(token.text)
        assert gate._verified(issued.text) is seen


async def test_expired_token_is_refused_though_remembered(
    gate: TokenGate, issued: IssuedToken, clock: FakeClock
) -> None:
    """The memory is of signatures, not of permission."""
    gate.authenticate(issued.text)
    clock.now += timedelta(seconds=300)
    with pytest.raises(CredentialInvalid, match="expired"):
        gate.authenticate(issued.text)
