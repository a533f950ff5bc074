"""A migrated database of either kind, and the store of model versions on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.generation import Generation
from auth.store import Store
from gateway.database import create_engine
from gateway.models.label_store import ModelStore
from gateway.models.trial_store import TrialStore
from tests.unit.auth.conftest import PEPPERS, SEALER, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Open the records as the server does."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def generation(tmp_path: Path) -> Iterator[Generation]:
    """Map the change counter as the server does."""
    generation = Generation(tmp_path / "generation")
    yield generation
    generation.close()


@pytest.fixture
def store(engine: AsyncEngine, generation: Generation, clock: FakeClock) -> ModelStore:
    """Return the store."""
    return ModelStore(engine, pepper=PEPPERS, sealer=SEALER, generation=generation, now=clock.aware)


@pytest.fixture
def trials(store: ModelStore) -> TrialStore:
    """Return the store of trials in the same database."""
    return store.part(TrialStore)


@pytest.fixture
def catalogue(engine: AsyncEngine, generation: Generation, clock: FakeClock) -> Store:
    """Return the store of everything else in the same database."""
    return Store(engine, pepper=PEPPERS, sealer=SEALER, generation=generation, now=clock.aware)
