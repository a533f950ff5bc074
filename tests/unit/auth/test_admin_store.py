"""Admins in either database: who they are, what they may, and how the first one comes about."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.admin_tables import admins
from auth.admins import Admin, check_admin_scopes, check_username
from auth.bootstrap import issue_first_token, issue_new_token
from auth.errors import AdminNotFound, CredentialInvalid, InvalidChange
from auth.scopes import ALL_SCOPES, PREDICT
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID
from auth.totp import code_at, new_totp_secret
from tests.actors import TESTER
from tests.unit.auth.conftest import FakeClock

SCOPES = ("tenants:write", "keys:write")


async def make_admin(store: Store, username: str = "ada", **fields: str) -> Admin:
    """Take on an admin; the hash is nobody's."""
    return await store.create_admin(
        actor=TESTER, username=username, password_hash="no hash", scopes=SCOPES, **fields
    )


async def test_admin_is_found_by_id_and_by_name(store: Store, clock: FakeClock) -> None:
    """What was made is what is read."""
    made = await make_admin(store, "Ada@Example.com")
    assert made.admin_id.startswith("adm_")
    assert (made.username, made.scopes) == ("ada@example.com", ("keys:write", "tenants:write"))
    assert (made.created_at, made.disabled_at, made.has_totp) == (clock.now, None, False)
    assert await store.get_admin(made.admin_id) == made
    assert await store.find_admin("ADA@example.COM") == made
    assert await store.list_admins(after=None, limit=10) == [made]


async def test_unknown_admin_is_not_found(store: Store) -> None:
    """Whatever the id looks like."""
    for admin_id in ("adm_0000000000000000", "", "'; --", "\x00"):
        with pytest.raises(AdminNotFound):
            await store.get_admin(admin_id)
    assert await store.find_proof("nobody") is None


async def test_username_is_taken_once_whatever_its_case(store: Store) -> None:
    """Two accounts never read alike."""
    await make_admin(store, "ada")
    with pytest.raises(InvalidChange, match="taken"):
        await make_admin(store, "ADA")


@pytest.mark.parametrize(
    "username", ["", " ada", "ad a", "\u0430da", "a" * 65, "-ada", "ada\n", "ada\x00", "\u212aim"]
)
def test_username_has_one_alphabet(username: str) -> None:
    """Letters of other scripts that look the same are refused, and so are blanks."""
    with pytest.raises(InvalidChange):
        check_username(username)


@pytest.mark.parametrize("scopes", [(), ("no such",), (PREDICT,), tuple(ALL_SCOPES)])
def test_admin_holds_known_scopes_and_never_predicts(scopes: tuple[str, ...]) -> None:
    """Predictions are on a tenant's bill, and a person is none."""
    with pytest.raises(InvalidChange):
        check_admin_scopes(scopes)


async def test_pages_follow_each_other(store: Store) -> None:
    """In the order of the ids."""
    made = [await make_admin(store, name) for name in ("ada", "bob", "cy")]
    first = await store.list_admins(after=None, limit=2)
    rest = await store.list_admins(after=first[-1].admin_id, limit=2)
    assert first + rest == sorted(made, key=lambda admin: admin.admin_id)


async def test_disabled_since_the_first_time(store: Store, clock: FakeClock) -> None:
    """Disabling once more changes nothing, enabling takes it back."""
    admin = await make_admin(store)
    since = clock.now
    await store.update_admin(admin.admin_id, is_disabled=True, actor=TESTER)
    clock.advance(60)
    again = await store.update_admin(admin.admin_id, is_disabled=True, actor=TESTER)
    assert again.disabled_at == since
    assert (
        await store.update_admin(admin.admin_id, is_disabled=False, actor=TESTER)
    ).disabled_at is None


async def test_authenticator_counts_once_it_has_shown_a_code(
    store: Store, clock: FakeClock
) -> None:
    """One that was scanned wrongly shuts nobody out."""
    admin, secret = await make_admin(store), new_totp_secret()
    assert not (await store.enrol_totp(admin.admin_id, secret, actor=TESTER)).has_totp
    code = code_at(secret, int(clock.seconds()) // 30)
    with pytest.raises(InvalidChange):
        await store.confirm_totp(admin.admin_id, f"{(int(code) + 1) % 1_000_000:06}", actor=TESTER)
    assert (await store.confirm_totp(admin.admin_id, code, actor=TESTER)).has_totp
    assert (await store.get_proof(admin.admin_id)).totp_secret == secret
    with pytest.raises(InvalidChange):
        await store.confirm_totp(admin.admin_id, code, actor=TESTER)
    assert not (await store.remove_totp(admin.admin_id, actor=TESTER)).has_totp


async def test_secret_of_an_authenticator_is_sealed(store: Store, engine: AsyncEngine) -> None:
    """Whoever copies the database cannot make codes."""
    admin, secret = await make_admin(store), new_totp_secret()
    await store.enrol_totp(admin.admin_id, secret, actor=TESTER)
    async with engine.connect() as connection:
        stored = (await connection.execute(admins.select())).one()
    assert secret not in bytes(stored.totp_pending_sealed)


async def test_proof_shows_no_secret(store: Store) -> None:
    """A representation ends in logs."""
    admin = await make_admin(store)
    assert "no hash" not in repr(await store.get_proof(admin.admin_id))


async def test_first_token_makes_the_first_admin_once(
    store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """It is shown once, used once, and worth nothing afterwards."""
    issued = await issue_first_token(engine, actor=TESTER, now=clock.now)
    assert issued is not None
    assert issued.token not in repr(issued)
    assert await issue_first_token(engine, actor=TESTER, now=clock.now) is None
    await make_admin(store, bootstrap=issued.token)
    for name in ("ada", "bob"):
        with pytest.raises(CredentialInvalid):
            await make_admin(store, name, bootstrap=issued.token)
    assert len(await store.list_admins(after=None, limit=10)) == 1


async def test_installation_with_a_key_gets_no_token(
    store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """Who can get in needs none, and nobody else should see one."""
    await store.create_key(PLATFORM_TENANT_ID, actor=TESTER, name="admin", scopes=["tenants:write"])
    assert await issue_first_token(engine, actor=TESTER, now=clock.now) is None


async def test_lost_token_is_replaced(store: Store, engine: AsyncEngine, clock: FakeClock) -> None:
    """The earlier one is worthless from then on."""
    lost = await issue_first_token(engine, actor=TESTER, now=clock.now)
    found = await issue_new_token(engine, actor=TESTER, now=clock.now)
    assert lost is not None
    with pytest.raises(CredentialInvalid):
        await make_admin(store, bootstrap=lost.token)
    await make_admin(store, bootstrap=found.token)
    with pytest.raises(InvalidChange):
        await issue_new_token(engine, actor=TESTER, now=clock.now)


async def test_token_ends_after_a_day(store: Store, engine: AsyncEngine, clock: FakeClock) -> None:
    """One that lies about in a log is worth nothing tomorrow."""
    issued = await issue_new_token(engine, actor=TESTER, now=clock.now)
    clock.advance(timedelta(hours=24).total_seconds())
    with pytest.raises(CredentialInvalid):
        await make_admin(store, bootstrap=issued.token)


async def test_token_is_nothing_beside_an_admin(
    store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """An admin that the operator's shell made closes the door."""
    issued = await issue_new_token(engine, actor=TESTER, now=clock.now)
    await make_admin(store, "ada")
    with pytest.raises(CredentialInvalid):
        await make_admin(store, "bob", bootstrap=issued.token)


async def test_refused_admin_leaves_the_token(
    store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """A misspelt scope does not cost the only way in."""
    issued = await issue_new_token(engine, actor=TESTER, now=clock.now)
    with pytest.raises(InvalidChange):
        await store.create_admin(
            actor=TESTER, username="ada", password_hash="x", scopes=["none"], bootstrap=issued.token
        )
    assert await make_admin(store, bootstrap=issued.token)


async def test_of_two_uses_of_a_token_one_wins(
    *, store: Store, cli_store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """From two processes at the same time, over and over."""
    issued = await issue_new_token(engine, actor=TESTER, now=clock.now)
    uses = [
        make_admin(owner, f"admin{number}", bootstrap=issued.token)
        for number, owner in enumerate((store, cli_store) * 4)
    ]
    outcomes = await asyncio.gather(*uses, return_exceptions=True)
    assert sum(isinstance(outcome, Admin) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CredentialInvalid) for outcome in outcomes) == 7


async def test_of_two_first_tokens_one_is_shown(engine: AsyncEngine, clock: FakeClock) -> None:
    """Several servers that start at once print one."""
    issued = await asyncio.gather(
        *(issue_first_token(engine, actor=TESTER, now=clock.now) for _ in range(4))
    )
    assert sum(token is not None for token in issued) == 1
