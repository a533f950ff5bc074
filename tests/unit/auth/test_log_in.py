"""Who logs in shows a password and, if it has an authenticator, a code."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.admins import Admin, SessionTimes
from auth.audit_log import read_entries
from auth.errors import CredentialInvalid
from auth.log_in import Claim, LogIn
from auth.password_work import PasswordWork
from auth.passwords import PasswordHasher
from auth.store import Store
from auth.totp import code_at, new_totp_secret
from tests.actors import TESTER
from tests.unit.auth.cheap_passwords import CHEAP_KIBIBYTES, cheap_hasher
from tests.unit.auth.conftest import FakeClock, Server

# What is shown to whom does not depend on the database; that a code counts once is shown on both.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PASSWORD = "plum kettle on the roof"


class CountingHasher(PasswordHasher):
    """A cheap hasher that counts what it verifies."""

    def __init__(self) -> None:
        super().__init__(memory_kibibytes=CHEAP_KIBIBYTES, passes=1)
        self.verified = 0

    def verify(self, password: str, stored: str | None) -> bool:
        """Count and verify."""
        self.verified += 1
        return super().verify(password, stored)


@pytest.fixture
def hasher() -> CountingHasher:
    """A hasher that counts."""
    return CountingHasher()


@pytest.fixture
async def log_in(store: Store, hasher: CountingHasher, clock: FakeClock) -> AsyncIterator[LogIn]:
    """The server's log-in."""
    work = PasswordWork(hasher)
    log_in = LogIn(store, work, times=SessionTimes(), now=clock.seconds)
    yield log_in
    await log_in.close()
    work.close()


@pytest.fixture
async def ada(store: Store) -> Admin:
    """An admin with a password."""
    return await store.create_admin(
        username="ada",
        password_hash=cheap_hasher().hash(PASSWORD),
        scopes=["tenants:write"],
        actor=TESTER,
    )


async def enrolled(store: Store, ada: Admin, clock: FakeClock) -> bytes:
    """Give the admin an authenticator that has shown the code of a while ago."""
    secret = new_totp_secret()
    await store.enrol_totp(ada.admin_id, secret, actor=TESTER)
    await store.confirm_totp(ada.admin_id, code_now(secret, clock), actor=TESTER)
    clock.advance(300)
    return secret


def code_now(secret: bytes, clock: FakeClock) -> str:
    """Read the code off the authenticator."""
    return code_at(secret, int(clock.seconds()) // 30)


async def opens(log_in: LogIn, username: str, password: str, *, totp: str | None = None) -> bool:
    """Tell whether a claim opens a session."""
    try:
        await log_in.open(Claim(username, password, totp), is_known=False, actor=TESTER)
    except CredentialInvalid:
        return False
    return True


async def test_right_password_opens_a_session(
    *, log_in: LogIn, server: Server, store: Store, ada: Admin, clock: FakeClock
) -> None:
    """However the username is written; and it is noted when."""
    issued = await log_in.open(Claim("ADA", PASSWORD, None), is_known=False, actor=TESTER)
    assert (await server.principal(issued.token)).credential_id == issued.session.session_id
    assert (await store.get_admin(ada.admin_id)).last_log_in_at == clock.now


@pytest.mark.parametrize(
    ("username", "password"), [("ada", PASSWORD + "!"), ("ada", ""), ("nobody", PASSWORD)]
)
@pytest.mark.usefixtures("ada")
async def test_wrong_password_and_unknown_name_cost_the_same(
    *, log_in: LogIn, hasher: CountingHasher, username: str, password: str
) -> None:
    """One verification, whoever it is."""
    assert not await opens(log_in, username, password)
    assert hasher.verified == 1


async def test_disabled_admin_is_refused_at_the_same_cost(
    *, log_in: LogIn, hasher: CountingHasher, store: Store, ada: Admin
) -> None:
    """With the right password."""
    await store.update_admin(ada.admin_id, is_disabled=True, actor=TESTER)
    assert not await opens(log_in, "ada", PASSWORD)
    assert hasher.verified == 1


async def test_authenticator_is_asked_for(
    *, log_in: LogIn, store: Store, ada: Admin, clock: FakeClock
) -> None:
    """The password alone, a wrong code and an earlier code are refused alike."""
    secret = await enrolled(store, ada, clock)
    code = code_now(secret, clock)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for shown in (None, "", wrong, code_at(secret, int(clock.seconds()) // 30 - 2)):
        assert not await opens(log_in, "ada", PASSWORD, totp=shown)
    assert not await opens(log_in, "ada", "wrong password", totp=code)
    assert await opens(log_in, "ada", PASSWORD, totp=code)


async def test_code_is_taken_once(
    *, log_in: LogIn, store: Store, ada: Admin, clock: FakeClock
) -> None:
    """Neither it nor the one before it opens another session."""
    secret = await enrolled(store, ada, clock)
    code = code_now(secret, clock)
    before = code_at(secret, int(clock.seconds()) // 30 - 1)
    assert await opens(log_in, "ada", PASSWORD, totp=code)
    assert not await opens(log_in, "ada", PASSWORD, totp=code)
    assert not await opens(log_in, "ada", PASSWORD, totp=before)
    clock.advance(30)
    assert await opens(log_in, "ada", PASSWORD, totp=code_now(secret, clock))


async def test_code_that_confirmed_the_authenticator_opens_nothing(
    *, log_in: LogIn, store: Store, ada: Admin, clock: FakeClock
) -> None:
    """It has been shown once."""
    secret = new_totp_secret()
    await store.enrol_totp(ada.admin_id, secret, actor=TESTER)
    code = code_now(secret, clock)
    await store.confirm_totp(ada.admin_id, code, actor=TESTER)
    assert not await opens(log_in, "ada", PASSWORD, totp=code)


@pytest.mark.usefixtures("ada")
async def test_code_without_an_authenticator_does_no_harm(log_in: LogIn) -> None:
    """Whoever has none may leave it out or not."""
    assert await opens(log_in, "ada", PASSWORD, totp="123456")


async def test_password_is_hashed_anew_with_new_parameters(
    store: Store, ada: Admin, clock: FakeClock
) -> None:
    """At the first log-in after they changed; sessions go on."""
    stronger = PasswordHasher(memory_kibibytes=2 * CHEAP_KIBIBYTES, passes=1)
    work = PasswordWork(stronger)
    log_in = LogIn(store, work, times=SessionTimes(), now=clock.seconds)
    assert await opens(log_in, "ada", PASSWORD)
    stored = (await store.get_proof(ada.admin_id)).password_hash
    assert not stronger.needs_rehash(stored)
    assert await opens(log_in, "ada", PASSWORD)
    work.close()


async def test_own_password_is_asked_for(log_in: LogIn, ada: Admin) -> None:
    """Who changes it must know it."""
    await log_in.check_password(ada.admin_id, PASSWORD)
    with pytest.raises(CredentialInvalid):
        await log_in.check_password(ada.admin_id, PASSWORD + "!")


async def test_failures_of_known_names_alone_are_written_down(
    *, log_in: LogIn, store: Store, engine: AsyncEngine, ada: Admin
) -> None:
    """Strangers who make names up do not fill the disk."""
    for username in ("ada", "nobody", "somebody"):
        assert not await opens(log_in, username, "wrong password")
    await log_in.close()
    async with engine.connect() as connection:
        entries = await read_entries(connection, after=0, limit=100)
    refused = [entry.target for entry in entries if entry.action == "session.refuse"]
    assert refused == [ada.admin_id]
    assert await store.list_sessions(admin_id=None, after=None, limit=10) == []
