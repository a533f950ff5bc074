"""A real PostgreSQL of our own, on a loopback port and in a folder of its own under /tmp.

Databases are ordered by the rules of English here, not by code points, so that a test notices
when something of ours leaves the order to the collation.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import make_url

from tests.processes import children_of
from tests.serving import free_port

USER: Final = "tollgate"
PASSWORD: Final = "a-password-that-appears-nowhere"
START_SECONDS: Final = 60.0
LOCK_SECONDS: Final = 4.0
"""Less than what the product waits for a lock."""

_POLL_SECONDS: Final = 0.02
_UNPRIVILEGED: Final = "postgres"
_OPTIONS: Final = [
    "-c",
    "fsync=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "shared_buffers=16MB",
    "-c",
    "max_connections=200",
    "-c",
    "listen_addresses=127.0.0.1",
]


class PostgresServer:
    """Initialise, start, stop, kill and hang one PostgreSQL.

    It writes to the file system without waiting for the disk: a kill of it loses nothing, a power
    cut would.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Build a server that is not there yet; options are as `name=value`."""
        self._folder = folder
        self._options = [word for option in options for word in ("-c", option)]
        self._data = folder / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = _UNPRIVILEGED if os.geteuid() == 0 else None

    def initialise(self) -> None:
        """Make the files of an empty cluster."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._owner is not None:
            self._folder.chmod(0o700)
            for path in (self._folder, secret):
                shutil.chown(path, self._owner, pwd.getpwnam(self._owner).pw_gid)
        order = [
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
        ]
        access = [f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256"]
        done = subprocess.run(
            [program("initdb"), "-D", str(self._data), *order, *access, "--no-sync"],
            cwd=self._folder,
            user=self._owner,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it with what it holds and wait until it answers."""
        listening = ["-p", str(self._port), "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self._data), *listening, *_OPTIONS, *self._options],
                cwd=self._folder,
                user=self._owner,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End it in order, at once for those who are connected; once more does nothing."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)
        self._process = None

    def kill(self) -> None:
        """End it with all its processes as a crash would."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def hang(self) -> None:
        """Stop all its processes where they are: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def create_database(self, *, template: str = "template0") -> str:
        """Make a database that nobody else uses and return its URL.

        Args:
            template: name of the database that it is a copy of; nobody may be connected to it.
        """
        name = f"test_{uuid.uuid4().hex}"
        self.ask(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.ask(f'DROP DATABASE "{name_of(url)}" WITH (FORCE)')

    def url_of(self, database: str = "postgres") -> str:
        """Name a database as an operator would."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def ask(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement of a test's own and return its rows."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def wait_for_locks(self, database: str, *, count: int) -> None:
        """Wait until so many transactions of a database wait for a lock."""
        query = (
            "SELECT count(*) FROM pg_stat_activity"  # noqa: S608 - a name of our own
            f" WHERE wait_event_type = 'Lock' AND datname = '{database}'"
        )
        deadline = time.monotonic() + LOCK_SECONDS
        while self.ask(query) != [(count,)]:
            assert time.monotonic() < deadline, f"not {count} transactions wait for a lock"
            time.sleep(_POLL_SECONDS)

    def log(self) -> str:
        """Read what it wrote."""
        return (self._folder / "log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        """Signal the first process before its children, so that it starts none meanwhile."""
        assert self._process is not None
        first = self._process.pid
        os.kill(first, number)
        for child in children_of(first):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


@contextlib.contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    """Run a server for the length of a block, and leave nothing of it behind."""
    folder = Path(tempfile.mkdtemp(prefix="tollgate-postgres-"))
    server = PostgresServer(folder, *options)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def program(name: str) -> str:
    """Find one of PostgreSQL's programs; Debian keeps them apart by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    path = str(found[-1]) if found else shutil.which(name)
    assert path is not None, f"{name} is not installed: run `scripts/packages.sh postgres`"
    return path


def environment_of(url: str) -> dict[str, str]:
    """Return the variables by which PostgreSQL's own programs find a database."""
    parts = make_url(url)
    return {
        "PGHOST": str(parts.host),
        "PGPORT": str(parts.port),
        "PGUSER": str(parts.username),
        "PGPASSWORD": str(parts.password),
        "PGDATABASE": str(parts.database),
    }


def name_of(url: str) -> str:
    """Name the database of a URL."""
    return url.rpartition("/")[2]


def _version(path: Path) -> float:
    return float(path.parents[1].name)
