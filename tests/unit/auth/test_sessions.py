"""Sessions in either database, as a running server sees them."""

import asyncio
from datetime import UTC, datetime

import pytest

from auth.admins import IssuedSession, Proof, SessionTimes
from auth.errors import CredentialInvalid, SessionNotFound
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID
from auth.totp import code_at, new_totp_secret
from tests.actors import TESTER
from tests.unit.auth.conftest import FakeClock, Server
from tests.unit.auth.test_admin_store import make_admin

TIMES = SessionTimes()
HOUR = 3600.0


@pytest.fixture
async def proof(store: Store) -> Proof:
    """What the log-in of an admin is compared with."""
    return await store.get_proof((await make_admin(store)).admin_id)


@pytest.fixture
async def issued(store: Store, proof: Proof) -> IssuedSession:
    """A session of that admin."""
    return await store.open_session(proof, times=TIMES, actor=TESTER)


async def prolong(server: Server, store: Store) -> None:
    """Do what the server does beside the requests."""
    await store.prolong_sessions(server.authenticator.take_last_used(), times=TIMES)


async def test_session_is_a_credential_of_the_platform(
    server: Server, proof: Proof, issued: IssuedSession
) -> None:
    """It may do what its admin may, and tells what kind it is."""
    principal = await server.principal(issued.token)
    assert (principal.kind, principal.tenant_id) == ("session", PLATFORM_TENANT_ID)
    assert principal.is_platform
    assert principal.credential_id == issued.session.session_id
    assert principal.scopes == set(proof.admin.scopes)
    assert issued.token.startswith("tg_sess_")
    assert issued.token not in repr(issued)


async def test_session_ends_after_its_lifetime(
    *, server: Server, store: Store, issued: IssuedSession, clock: FakeClock
) -> None:
    """Use postpones the idle end, and nothing the other."""
    for _ in range(23):
        clock.advance(HOUR / 2)
        assert await server.accepts(issued.token)
        await prolong(server, store)
    clock.advance(HOUR / 2)
    assert not await server.accepts(issued.token)


async def test_idle_session_ends(server: Server, issued: IssuedSession, clock: FakeClock) -> None:
    """Nobody used it for an hour."""
    clock.advance(HOUR - 1)
    assert await server.accepts(issued.token)
    clock.advance(1)
    assert not await server.accepts(issued.token)


async def test_use_postpones_the_idle_end_on_every_server(
    *, server: Server, store: Store, cli_store: Store, issued: IssuedSession, clock: FakeClock
) -> None:
    """What one server saw, another knows."""
    clock.advance(HOUR - 1)
    assert await server.accepts(issued.token)
    await prolong(server, store)
    clock.advance(HOUR - 1)
    assert (await cli_store.get_session(issued.session.session_id)).ends_at > clock.now
    assert await server.accepts(issued.token)


async def test_use_is_recorded_now_and_then(
    *, server: Server, store: Store, issued: IssuedSession, clock: FakeClock
) -> None:
    """Not every request is a change of the catalogue that all servers read."""
    assert await server.accepts(issued.token)
    revision = server.keyset.revision
    for _ in range(9):
        clock.advance(30)
        assert await server.accepts(issued.token)
        await prolong(server, store)
    assert server.keyset.revision == revision
    clock.advance(30)
    assert await server.accepts(issued.token)
    await prolong(server, store)
    assert await server.accepts(issued.token)
    assert server.keyset.revision == revision + 1


async def test_use_does_not_bring_a_session_back(
    *, server: Server, store: Store, issued: IssuedSession, clock: FakeClock
) -> None:
    """A use that is written down late revives neither a revoked session nor an idle one."""
    clock.advance(HOUR / 2)
    assert await server.accepts(issued.token)
    await store.revoke_session(issued.session.session_id, actor=TESTER)
    await prolong(server, store)
    assert not await server.accepts(issued.token)
    late = {issued.session.session_id: datetime(2026, 11, 5, 20, 0, tzinfo=UTC)}
    await store.prolong_sessions(late, times=TIMES)
    assert not await server.accepts(issued.token)


async def test_revoked_session_is_refused_at_once(
    server: Server, store: Store, issued: IssuedSession
) -> None:
    """As a revoked key is."""
    assert await server.accepts(issued.token)
    await store.revoke_session(issued.session.session_id, actor=TESTER)
    assert not await server.accepts(issued.token)
    await store.revoke_session(issued.session.session_id, actor=TESTER)
    with pytest.raises(SessionNotFound):
        await store.revoke_session("ses_0000000000000000", actor=TESTER)


@pytest.mark.parametrize(
    "change", [{"is_disabled": True}, {"password_hash": "another"}], ids=["disabled", "password"]
)
async def test_change_of_an_admin_ends_its_sessions(
    *, server: Server, store: Store, proof: Proof, change: dict[str, object]
) -> None:
    """All of them, at once, and nobody else's."""
    sessions = [await store.open_session(proof, times=TIMES, actor=TESTER) for _ in range(3)]
    other = await store.get_proof((await make_admin(store, "bob")).admin_id)
    spared = await store.open_session(other, times=TIMES, actor=TESTER)
    assert [await server.accepts(one.token) for one in sessions] == [True] * 3
    await store.update_admin(proof.admin.admin_id, **change, actor=TESTER)  # type: ignore[arg-type]
    assert [await server.accepts(one.token) for one in sessions] == [False] * 3
    assert await server.accepts(spared.token)


async def test_enabled_again_is_not_logged_in_again(
    *, server: Server, store: Store, proof: Proof, issued: IssuedSession
) -> None:
    """Sessions that were ended stay so."""
    await store.update_admin(proof.admin.admin_id, is_disabled=True, actor=TESTER)
    await store.update_admin(proof.admin.admin_id, is_disabled=False, actor=TESTER)
    assert not await server.accepts(issued.token)


async def test_sessions_follow_the_scopes_of_their_admin(
    *, server: Server, store: Store, proof: Proof, issued: IssuedSession
) -> None:
    """A scope that was taken away is gone from the next request on."""
    assert "tenants:write" in (await server.principal(issued.token)).scopes
    await store.update_admin(proof.admin.admin_id, scopes=["tenants:read"], actor=TESTER)
    assert (await server.principal(issued.token)).scopes == {"tenants:read"}


@pytest.mark.parametrize(
    "change", [{"is_disabled": True}, {"password_hash": "another"}], ids=["disabled", "password"]
)
async def test_proof_that_was_overtaken_opens_nothing(
    store: Store, proof: Proof, change: dict[str, object]
) -> None:
    """Verifying takes a while, and the world goes on."""
    await store.update_admin(proof.admin.admin_id, **change, actor=TESTER)  # type: ignore[arg-type]
    with pytest.raises(CredentialInvalid):
        await store.open_session(proof, times=TIMES, actor=TESTER)


async def test_one_time_code_opens_one_session(
    *, store: Store, cli_store: Store, proof: Proof, clock: FakeClock
) -> None:
    """Of two log-ins with one code, whichever servers they reach, one is refused."""
    admin_id, secret = proof.admin.admin_id, new_totp_secret()
    await store.enrol_totp(admin_id, secret, actor=TESTER)
    step = int(clock.seconds()) // 30
    await store.confirm_totp(admin_id, code_at(secret, step), actor=TESTER)
    now = await store.get_proof(admin_id)
    log_ins = [
        one.open_session(now, times=TIMES, totp_step=step + 1, actor=TESTER)
        for one in (store, cli_store)
    ]
    outcomes = await asyncio.gather(*log_ins, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "CredentialInvalid",
        "IssuedSession",
    ]
    for used in (step + 1, step, None):
        with pytest.raises(CredentialInvalid):
            await store.open_session(now, times=TIMES, totp_step=used, actor=TESTER)


async def test_sessions_are_listed_for_one_and_for_all(
    store: Store, proof: Proof, issued: IssuedSession
) -> None:
    """An admin sees its own, who may sees everybody's."""
    other = await store.get_proof((await make_admin(store, "bob")).admin_id)
    others = await store.open_session(other, times=TIMES, actor=TESTER)
    own = await store.list_sessions(admin_id=proof.admin.admin_id, after=None, limit=10)
    assert own == [issued.session]
    everybody = await store.list_sessions(admin_id=None, after=None, limit=10)
    assert everybody == sorted(
        [issued.session, others.session], key=lambda session: session.session_id
    )


async def test_sessions_that_ended_long_ago_are_forgotten(
    *, store: Store, proof: Proof, issued: IssuedSession, clock: FakeClock
) -> None:
    """The table does not grow with every log-in for ever."""
    clock.advance(31 * 24 * HOUR)
    latest = await store.open_session(proof, times=TIMES, actor=TESTER)
    listed = await store.list_sessions(admin_id=None, after=None, limit=10)
    assert listed == [latest.session]
    assert issued.session not in listed
