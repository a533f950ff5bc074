"""Running servers for the tests that need one, shared where that is safe and stopped afterwards."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.database import create_engine, migrate
from tests.planted import leaks_below
from tests.postgres_server import PostgresServer, name_of, running_postgres
from tests.serving import Server, free_port


@pytest.fixture(scope="session", autouse=True)
def _no_log_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After everything else, look through the logs of all servers that the run has started."""
    yield
    leaks = leaks_below(tmp_path_factory.getbasetemp())
    assert leaks == [], f"secrets in logs: {leaks}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `tollgate demo` with a data folder of its own."""
    running = Server(tmp_path_factory.mktemp("server"), free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server that the test may kill, stop and start again."""
    running = Server(tmp_path, free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests that do it no harm; each makes a database of its own."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that the test may kill, hang and start again."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def empty_postgres(postgres: PostgresServer) -> Iterator[str]:
    """Make a database for one test and return its URL; nothing is in it."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """Make a database as the migrations leave it, for copies, and return its name."""
    url = postgres.create_database()
    asyncio.run(_make_schema(url))
    return name_of(url)


@pytest.fixture
def migrated_postgres(postgres: PostgresServer, migrated_template: str) -> Iterator[str]:
    """Make a migrated database for one test and return its URL."""
    url = postgres.create_database(template=migrated_template)
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a SQLite database as the migrations leave it, for copies."""
    path = tmp_path_factory.mktemp("migrated") / "tollgate.db"
    asyncio.run(_make_schema(f"sqlite:///{path}"))
    return path


@pytest.fixture
def migrated_sqlite(tmp_path: Path, migrated_file: Path) -> str:
    """Make a migrated SQLite database for one test and return its URL."""
    shutil.copy(migrated_file, tmp_path / "tollgate.db")
    return f"sqlite:///{tmp_path / 'tollgate.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the test on a migrated database of either kind, and of that alone."""
    is_sqlite = request.param == "sqlite"
    url: str = request.getfixturevalue("migrated_sqlite" if is_sqlite else "migrated_postgres")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Run the test on an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tollgate.db'}"
    url: str = request.getfixturevalue("empty_postgres")
    return url


async def _make_schema(url: str) -> None:
    engine = create_engine(url)
    await migrate(engine)
    await engine.dispose()
