"""Look for an answer in every journal of a data folder: any worker may have given it."""

import contextlib
import sqlite3
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.coalescer import Coalescer, CoalescerFull
from gateway.usage.answers import FoundAnswer, find_answers
from gateway.usage.claims import Claims
from gateway.usage.errors import JournalDamaged, JournalUnavailable
from gateway.usage.periods import wall_clock_us
from gateway.usage.segment_file import log_bytes, settle_log
from gateway.usage.writer_thread import WriterThread

_POLL_SECONDS: Final = 0.005
_MOST_POLLS: Final = 400
_MOST_KEYS: Final = 256
_MOST_WAITING: Final = 8192


class AnswerReader:
    """Find what was answered, on connections of its own and in a thread of its own.

    Ask while holding the claim on the key: then whoever had it before is done or dead. Everyone
    who waits shares the next look, which begins after all of them have asked.
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
        self._looks = Coalescer[bytes, FoundAnswer | None](
            self._look, max_batch=_MOST_KEYS, max_waiting=_MOST_WAITING
        )

    async def find(self, key: bytes) -> FoundAnswer | None:
        """Return what was answered under a key within the last day.

        Raises:
            JournalUnavailable: a journal cannot be read, so nobody can say.
        """
        try:
            return await self._looks.submit(key)
        except (sqlite3.Error, OSError) as error:
            raise JournalUnavailable(f"looking for an answer: {error}") from error
        except CoalescerFull:
            raise JournalUnavailable("too many look for an answer") from None

    async def close(self) -> None:
        """Close the connections and end the thread."""
        await self._looks.drain()
        await self._thread.run(self._close)
        self._thread.stop()

    def _look(self, keys: list[bytes]) -> "Future[Sequence[FoundAnswer | None]]":
        return self._thread.run(partial(self._find, keys))

    def _find(self, keys: list[bytes]) -> Sequence[FoundAnswer | None]:
        now_us = self._now_us()
        found: dict[bytes, FoundAnswer] = {}
        for path in sorted(self._own.parent.glob("worker-*.db"), key=self._own.__ne__):
            self._settle(path)
            found = self._find_in(path, keys, now_us) | found
        return [found.get(key) for key in keys]

    def _settle(self, path: Path) -> None:
        """Make sure that what a dead worker was writing is there or will never be.

        Threat: SQLite shows a commit after its fsync. One whose writer died in between is hidden
        while anybody has the file open, and comes back when all have left: the request would have
        run again meanwhile, and both would be billed.
        """
        for _ in range(_MOST_POLLS):
            try:
                if self._claims.is_open(path) or not log_bytes(path) or settle_log(path):
                    return
            except JournalDamaged as error:
                raise OSError(str(error)) from error
            time.sleep(_POLL_SECONDS)
        raise OSError(f"{path.name} is held, and nobody works on it")

    def _find_in(self, path: Path, keys: list[bytes], now_us: int) -> dict[bytes, FoundAnswer]:
        """Look into one journal; one that is just being made has no answers yet."""
        reader = self._connections.get(path)
        if reader is None:
            reader = self._connections[path] = _connect(path)
        try:
            return find_answers(reader, keys, now_us)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return {}

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
