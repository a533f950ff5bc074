"""A migrated catalogue in either database, a clock that is set by hand, and what works on them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.authenticator import Authenticator
from auth.errors import CredentialInvalid, TenantSuspended
from auth.generation import Generation
from auth.keyset import Keyset
from auth.principal import Principal
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.store import Store
from auth.tenants import Tenant
from auth.tokens import TokenIssuer, TokenVerifier
from gateway.database import create_engine
from tests.actors import TESTER
from tests.tokens import RULES, Office, token_gate

PEPPER = b"a pepper for tests, long enough to be one"
PEPPERS = VersionedSecret({1: PEPPER})
SEALER = Sealer(VersionedSecret({1: b"a sealing key for tests, long enough too"}))


@dataclass
class FakeClock:
    """Tell the time that the test has set."""

    now: datetime = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)

    def aware(self) -> datetime:
        """Return the time as the store wants it."""
        return self.now

    def seconds(self) -> float:
        """Return the time as the authenticator wants it."""
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Server:
    """Stand for a running server: it authenticates as the data plane does."""

    keyset: Keyset
    authenticator: Authenticator
    clock: FakeClock

    async def principal(self, credential: str) -> Principal:
        """Return who calls with this key in a request that begins now."""
        if not self.keyset.is_current():
            await self.keyset.refresh()
        return self.authenticator.authenticate(credential)

    async def accepts(self, credential: str) -> bool:
        """Tell whether a request with this key that begins now is served."""
        try:
            await self.principal(credential)
        except (CredentialInvalid, TenantSuspended):
            return False
        return True


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the data folder, which holds the catalogue where that is a file."""
    return tmp_path


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Open the catalogue as the server does."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def generation(data_dir: Path) -> Iterator[Generation]:
    """Map the change counter as the server does."""
    generation = Generation(data_dir / "generation")
    yield generation
    generation.close()


@pytest.fixture
def store(engine: AsyncEngine, generation: Generation, clock: FakeClock) -> Store:
    """Return the server's store."""
    return Store(engine, pepper=PEPPERS, sealer=SEALER, generation=generation, now=clock.aware)


@pytest.fixture
async def cli_store(database_url: str, data_dir: Path, clock: FakeClock) -> AsyncIterator[Store]:
    """Return the store of another process on the same data folder."""
    engine = create_engine(database_url)
    generation = Generation(data_dir / "generation")
    yield Store(engine, pepper=PEPPERS, sealer=SEALER, generation=generation, now=clock.aware)
    await engine.dispose()
    generation.close()


@pytest.fixture
def keyset(engine: AsyncEngine, generation: Generation) -> Keyset:
    """Return the server's keyset, not loaded yet."""
    return Keyset(engine, generation=generation)


@pytest.fixture
def authenticator(keyset: Keyset, clock: FakeClock) -> Authenticator:
    """Return the server's authenticator."""
    gate = token_gate(keyset, clock.seconds)
    return Authenticator(keyset, pepper=PEPPERS, tokens=gate, now=clock.seconds)


@pytest.fixture
def issuer(keyset: Keyset, clock: FakeClock) -> TokenIssuer:
    """Return what signs the server's tokens."""
    return TokenIssuer(keyset.ring, rules=RULES, sealer=SEALER, now=clock.seconds)


@pytest.fixture
async def office(
    *,
    store: Store,
    keyset: Keyset,
    issuer: TokenIssuer,
    engine: AsyncEngine,
    clock: FakeClock,
) -> Office:
    """Return what makes clients and tokens; a key that signs is there."""
    await store.tend_signing_keys(actor=TESTER, max_age=timedelta(days=30))
    verifier = TokenVerifier(keyset.ring, rules=RULES, now=clock.seconds)
    return Office(store, keyset, issuer, verifier, SEALER, engine)


@pytest.fixture
def server(keyset: Keyset, authenticator: Authenticator, clock: FakeClock) -> Server:
    """Return a running server."""
    return Server(keyset, authenticator, clock)


@pytest.fixture
async def tenant(store: Store) -> Tenant:
    """Return a tenant without a plan."""
    return await store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=["*"])
