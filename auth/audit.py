"""The form of the audit log: one event for each change, chained by hashes. Pure: no I/O, no state.

The hash of an entry is the SHA-256 (FIPS 180-4) of its canonical JSON, in which the hash of the
entry before it is a member. So whoever changes, removes, adds or moves an entry has to make all
later hashes anew, and then the last one is no longer the one that was noted elsewhere.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from auth.actor import Actor
from auth.errors import InvalidChange

Result = TypeVar("Result")

GENESIS: Final = bytes(32)
"""What stands for the hash before the first entry."""

_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})", re.ASCII)
_UNTOLD: Final = frozenset({"last_used_at"})
"""What is no change of a record."""


@dataclass(frozen=True, slots=True)
class Event:
    """Say what changed: `before` is None for what is new, `after` for what is gone.

    `tenant_id` is whose record it is, `target` the id of the record.

    Threat: more people read the log than may have keys, so `before` and `after` hold no secrets.
    """

    action: str
    tenant_id: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Audited(Generic[Result]):
    """Join the result of a write with what it changed: no event if it found nothing to change."""

    def __init__(self, result: Result, *events: Event) -> None:
        self.result = result
        self.events = events


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one line of the log; `before` and `after` are canonical JSON."""

    sequence: int
    occurred_at_us: int
    tenant_id: str
    actor_kind: str
    actor_id: str
    actor_tenant_id: str
    request_id: str
    action: str
    target: str
    before: str | None
    after: str | None
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Name the end of a log: enough to tell later that nothing before it was changed."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        """Write it as `tollgate audit verify --head` takes it."""
        return f"{self.sequence}:{self.hash.hex()}"


NO_ENTRY: Final = Head(0, GENESIS)
"""The end of an empty log."""


def next_entry(head: Head, event: Event, *, actor: Actor, occurred_at_us: int) -> Entry:
    """Return the entry that follows `head`."""
    entry = Entry(
        sequence=head.sequence + 1,
        occurred_at_us=occurred_at_us,
        tenant_id=event.tenant_id,
        actor_kind=actor.kind,
        actor_id=actor.credential_id,
        actor_tenant_id=actor.tenant_id,
        request_id=actor.request_id,
        action=event.action,
        target=event.target,
        before=None if event.before is None else canonical(event.before),
        after=None if event.after is None else canonical(event.after),
        previous_hash=head.hash,
        hash=b"",
    )
    return Entry(**(asdict(entry) | {"hash": hash_of(entry)}))


def follows(entry: Entry, head: Head) -> bool:
    """Tell whether an entry is the one after `head`, and as it was written.

    Threat: SQLite takes any type into any column; what cannot even be written down was changed.
    """
    if entry.sequence != head.sequence + 1 or entry.previous_hash != head.hash:
        return False
    try:
        return entry.hash == hash_of(entry)
    except (TypeError, ValueError):
        return False


def read_head_text(text: str) -> Head:
    """Read the end of a log as somebody noted it: its number, a colon, its hash.

    Raises:
        InvalidChange: it has another form.
    """
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise InvalidChange("must be a number, a colon and 64 hexadecimal digits", "head")
    return Head(int(found[1]), bytes.fromhex(found[2]))


def hash_of(entry: Entry) -> bytes:
    """Return the hash of everything in an entry but its own."""
    members = asdict(entry) | {"previous_hash": entry.previous_hash.hex()}
    del members["hash"]
    return hashlib.sha256(canonical(members).encode()).digest()


def canonical(members: Mapping[str, Any]) -> str:
    """Write JSON in one way only: members sorted, no blanks, ASCII, times in UTC."""
    return json.dumps(
        members,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
        default=_moment,
    )


def facts_of(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass of the catalogue
    """Return what `before` and `after` say of a record of the catalogue."""
    return {name: value for name, value in asdict(record).items() if name not in _UNTOLD}


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} is nothing that the audit log tells")
