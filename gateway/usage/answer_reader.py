"""Look for an answer in every journal of a data folder: any worker may have given it."""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.usage.answers import FoundAnswer, find_answer
from gateway.usage.claims import Claims
from gateway.usage.errors import JournalUnavailable
from gateway.usage.periods import wall_clock_us
from gateway.usage.segment_file import log_bytes, settle_log
from gateway.usage.writer_thread import WriterThread

_POLL_SECONDS: Final = 0.005
_MOST_POLLS: Final = 400


class AnswerReader:
    """Find what was answered, on connections of its own and in a thread of its own.

    Ask while holding the claim on the key: then whoever had it before is done or dead.
    """

    def __init__(
        self, own: Path, claims: Claims, *, now_us: Callable[[], int] = wall_clock_us
    ) -> None:
        """Build a reader of the journals beside `own`, which is looked at first."""
        self._own = own
        self._claims = claims
        self._now_us = now_us
        self._connections: dict[Path, sqlite3.Connection] = {}
        self._thread = WriterThread("usage-answers")

    async def find(self, key: bytes) -> FoundAnswer | None:
        """Return what was answered under a key within the last day.

        Raises:
            JournalUnavailable: a journal cannot be read, so nobody can say.
        """
        try:
            return await self._thread.run(partial(self._find, key))
        except (sqlite3.Error, OSError) as error:
            raise JournalUnavailable(f"looking for an answer: {error}") from error

    async def close(self) -> None:
        """Close the connections and end the thread."""
        await self._thread.run(self._close)
        self._thread.stop()

    def _find(self, key: bytes) -> FoundAnswer | None:
        now_us = self._now_us()
        for path in sorted(self._own.parent.glob("worker-*.db"), key=self._own.__ne__):
            self._settle(path)
            found = self._find_in(path, key, now_us)
            if found is not None:
                return found
        return None

    def _settle(self, path: Path) -> None:
        """Make sure that what a dead worker was writing is there or will never be.

        Threat: SQLite shows a commit after its fsync. One whose writer died in between is hidden
        while anybody has the file open, and comes back when all have left: the request would have
        run again meanwhile, and both would be billed.
        """
        for _ in range(_MOST_POLLS):
            if self._claims.is_open(path) or not log_bytes(path) or settle_log(path):
                return
            time.sleep(_POLL_SECONDS)
        raise OSError(f"{path.name} is held, and nobody works on it")

    def _find_in(self, path: Path, key: bytes, now_us: int) -> FoundAnswer | None:
        """Look into one journal; one that is just being made has no answers yet."""
        reader = self._connections.get(path)
        if reader is None:
            reader = self._connections[path] = _connect(path)
        try:
            return find_answer(reader, key, now_us)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return None

    def _close(self) -> None:
        for reader in self._connections.values():
            with contextlib.suppress(sqlite3.Error):
                reader.close()
        self._connections.clear()


def _connect(path: Path) -> sqlite3.Connection:
    """Open a journal for reading; to share the log with its writer takes a mode that may write."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout = 5000").fetchall()
    connection.execute("PRAGMA query_only = 1")
    return connection
