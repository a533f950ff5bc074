"""Answers that are kept for a day, so that a request that is sent again runs and costs once.

An answer lies in the file of the journal that has its usage record, and one commit writes both:
whoever finds the answer knows that it is billed, and whoever does not knows that nothing is.
"""

import sqlite3
from asyncio import Future
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.usage.errors import AnswersFull

KEPT_SECONDS: Final = 24 * 3600
MOST_FORGOTTEN: Final = 64
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, request BLOB NOT NULL, tenant_id TEXT NOT NULL,
    expires_at_us INTEGER NOT NULL, size INTEGER NOT NULL, details TEXT NOT NULL, body BLOB
);
CREATE INDEX IF NOT EXISTS ix_answers_expires_at_us ON answers (expires_at_us, tenant_id, size);
"""
_FORGET_OLDER: Final = (
    "DELETE FROM answers WHERE key = ? AND expires_at_us < ? RETURNING tenant_id, size"
)
_ADD: Final = (
    "INSERT INTO answers (key, request, tenant_id, expires_at_us, size, details, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ADD_NEW: Final = f"{_ADD} ON CONFLICT (key) DO NOTHING"
_FORGET_EXPIRED: Final = (
    "DELETE FROM answers WHERE key IN ("
    "SELECT key FROM answers WHERE expires_at_us <= ? ORDER BY expires_at_us LIMIT ?"
    ") RETURNING tenant_id, size"
)
_FIRST_EXPIRY: Final = "SELECT min(expires_at_us) FROM answers"
_HELD: Final = "SELECT tenant_id, sum(size) FROM answers GROUP BY tenant_id"
_FIND: Final = (
    "SELECT key, request, details, body FROM answers WHERE expires_at_us > ? AND key IN ({})"
)
_ROW_BYTES: Final = 256
"""What a row takes beside its texts and its body, about."""

_TENANT_PART: Final = 4
_FULL_RETRY_SECONDS: Final = 60

Freed = list[tuple[str, int]]
"""Bytes that were given free, with the tenant whose they were."""


class FoundAnswer(NamedTuple):
    """An answer that was kept; it has not expired."""

    request: bytes
    """The digest of the request that it answers."""

    details: str
    """What its writer said of it, as JSON."""

    body: bytes | None
    """None if it was too large to be kept."""


def _do_nothing() -> None:
    """Stand where nobody waits for the disk."""


@dataclass(slots=True, eq=False)
class KeptAnswer:
    """An answer on its way to the disk; its record says when it was given.

    From `follow` until `on_landed` nobody can say whether it is there.
    """

    key: bytes
    request: bytes
    tenant_id: str
    details: str
    body: bytes | None
    on_landed: Callable[[], None] = _do_nothing
    is_pending: bool = False
    is_travelling: bool = False
    """It is being written, whether or not somebody waits for that."""

    @property
    def size(self) -> int:
        """How many bytes of the room it takes."""
        return len(self.details) + len(self.body or b"") + _ROW_BYTES

    def follow(self, flushed: "Future[None]") -> None:
        """Be on the way until the future is done; one that is given up in time is not written."""
        self.is_pending = True
        flushed.add_done_callback(self._drop)

    def land(self) -> None:
        """Take note that it is on the disk, or will never be."""
        self.is_pending = self.is_travelling = False
        self.on_landed()

    def _drop(self, _: "Future[None]") -> None:
        if self.is_pending and not self.is_travelling:
            self.land()


class Row(NamedTuple):
    """An answer as it is written."""

    answer: KeptAnswer
    expires_at_us: int


def write_answers(writer: sqlite3.Connection, rows: Iterable[Row]) -> Freed:
    """Write answers in the transaction that is open; return what they took the place of.

    Under their keys there is nothing but what has expired, and mostly nothing.

    Raises:
        sqlite3.Error: one cannot be written; the transaction is to be rolled back.
    """
    values = [
        (
            answer.key,
            answer.request,
            answer.tenant_id,
            expires_at_us,
            answer.size,
            answer.details,
            answer.body,
        )
        for answer, expires_at_us in rows
    ]
    freed: Freed = []
    added = writer.executemany(_ADD_NEW, values).rowcount
    if added != len(values):
        for row in values:
            older = writer.execute(_FORGET_OLDER, (row[0], row[3])).fetchall()
            if older:
                freed += older
                added += writer.execute(_ADD, row).rowcount
    if added != len(values):
        raise sqlite3.IntegrityError("under a key there is an answer that has not expired")
    return freed


def forget_expired(writer: sqlite3.Connection, now_us: int) -> Freed:
    """Drop up to `MOST_FORGOTTEN` answers that have expired, so that no commit waits long."""
    return writer.execute(_FORGET_EXPIRED, (now_us, MOST_FORGOTTEN)).fetchall()


def first_expiry(writer: sqlite3.Connection) -> int | None:
    """Return when the first answer expires; None where there is none."""
    found: int | None = writer.execute(_FIRST_EXPIRY).fetchone()[0]
    return found


def held_answers(writer: sqlite3.Connection) -> Freed:
    """Return how many bytes each tenant's answers take."""
    return writer.execute(_HELD).fetchall()


def find_answers(
    reader: sqlite3.Connection, keys: list[bytes], now_us: int
) -> dict[bytes, FoundAnswer]:
    """Return what is kept under some keys and has not expired.

    Cost: one statement, of a few lengths only, so that SQLite compiles each once.
    """
    length = 1 << (len(keys) - 1).bit_length()
    padded = (*keys, *(keys[-1:] * (length - len(keys))))
    marks = ",".join("?" * length)
    found = reader.execute(_FIND.format(marks), (now_us, *padded)).fetchall()
    return {key: FoundAnswer(*rest) for key, *rest in found}


class AnswerRoom:
    """Count what the answers of one journal take, and refuse before the room ends.

    Nothing is thrown away before its time, because a key that was forgotten would bill twice.

    Threat: one tenant that fills the room would take the keys from all others, so none gets more
    than a quarter of it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._by_tenant: Counter[str] = Counter()
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is kept."""
        return self._held_bytes

    def check(self, tenant_id: str) -> None:
        """Pass if one more answer of a tenant may be kept; call it before computing.

        Those that are under way are not counted, so they may exceed the room a little.

        Raises:
            AnswersFull: the room of all, or the tenant's part of it, is full.
        """
        is_full = self._held_bytes >= self.max_bytes
        if is_full or self._by_tenant[tenant_id] >= self.max_bytes // _TENANT_PART:
            raise AnswersFull(retry_after_seconds=_FULL_RETRY_SECONDS)

    def add(self, taken: Iterable[tuple[str, int]]) -> None:
        """Count bytes that are taken now."""
        for tenant_id, size in taken:
            self._by_tenant[tenant_id] += size
            self._held_bytes += size

    def free(self, freed: Freed) -> None:
        """Count bytes that are free again."""
        for tenant_id, size in freed:
            self._held_bytes -= size
            self._by_tenant[tenant_id] -= size
            if not self._by_tenant[tenant_id]:
                del self._by_tenant[tenant_id]
