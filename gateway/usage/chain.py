"""The chain of hashes over the records of a month. Pure: no I/O, no state.

h(0) is the SHA-256 (FIPS 180-4) of a line each with what this is, the month and the root of the
month before; h(i) that of h(i-1) and the canonical bytes of the i-th record in order of sequence.
The last one is the root of the month. So whoever changes, removes, adds or moves a record has to
make all later hashes anew, and those of later months, and then the root is no longer the one that
was noted elsewhere.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import orjson

from gateway.usage.periods import period_bounds_us

NO_ROOT: Final = "0" * 64
"""Stands for the root before the first month that was closed."""

LOT: Final = 1024
"""Numbers in a lot: after each, the chain is written down."""

MEMBERS: Final = (
    "sequence",
    "request_id",
    "occurred_at_us",
    "counted_at_us",
    "period",
    "tenant_id",
    "key_id",
    "model",
    "version",
    "protocol",
    "rows",
    "units",
    "is_test",
    "queue_us",
    "compute_us",
    "bytes_in",
    "bytes_out",
    "outcome",
    "corrects",
    "journal_id",
)
"""The members of a record in the order of its canonical bytes, a JSON array without blanks."""

Finding = Literal["changed", "removed", "added", "reordered"]

_DOMAIN: Final = "tollgate usage period v1"
_PLACE: Final = {name: place for place, name in enumerate(MEMBERS)}
_COUNTED: Final = _PLACE["counted_at_us"]
_MARK_BYTES: Final = 4

Record = Sequence[Any]
"""The values of a record as `MEMBERS` orders them."""


class Mark(NamedTuple):
    """A record in short: its number, and a few bytes of a hash of everything else in it."""

    sequence: int
    content: bytes


class Sums(NamedTuple):
    """What some records come to; marks and corrections are no requests."""

    requests: int = 0
    rows: int = 0
    units: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Add up."""
        return Sums(*(one + another for one, another in zip(self, other, strict=True)))


class Account(NamedTuple):
    """Whose sums they are."""

    tenant_id: str
    model: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: after which number, after how many records, and its hash."""

    through_sequence: int
    record_count: int
    head: str


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot of numbers of which some records belong to the month."""

    link: Link
    later_sequence: int | None
    """The first number of a later month."""
    marks: tuple[Mark, ...]
    request_ids: tuple[str, ...]
    sums: dict[Account, Sums] = field(default_factory=dict)


def chain_start(period: int, previous_root: str) -> str:
    """Return the hash before the first record of a month."""
    return hashlib.sha256(f"{_DOMAIN}\n{period}\n{previous_root}\n".encode()).hexdigest()


def canonical(record: Record) -> bytes:
    """Write a record in one way only: a JSON array in UTF-8, without blanks.

    Threat: SQLite takes any type into any column; what JSON has no form for was put there by
    somebody else, and its Python form is as good as any that differs.
    """
    return _canonical(record[0], _contents(record))


def next_lot(link: Link, records: Iterable[Record], *, period: int, through: int) -> Lot:
    """Extend a chain by the records with numbers after its link, up to `through`.

    Those that count in other months are passed over.
    """
    start_us, end_us = period_bounds_us(period)
    head, marks, request_ids, later = bytes.fromhex(link.head), [], [], None
    sums: dict[Account, Sums] = {}
    for record in records:
        if not _counts_before(record, end_us):
            later = record[0] if later is None else later
        elif not _counts_before(record, start_us):
            content = _contents(record)
            head = hashlib.sha256(head + _canonical(record[0], content)).digest()
            marks.append(Mark(record[0], _short(content)))
            request_ids.append(str(record[_PLACE["request_id"]]))
            _add(sums, record)
    reached = Link(through, link.record_count + len(marks), head.hex())
    return Lot(reached, later, tuple(marks), tuple(request_ids), sums)


def mark_of(record: Record) -> Mark:
    """Return a record in short."""
    return Mark(record[0], _short(_contents(record)))


def pack_marks(marks: Sequence[Mark], *, after: int) -> bytes:
    """Write the marks of a lot in little more than four bytes each."""
    offsets = struct.pack(f">{len(marks)}H", *(mark.sequence - after for mark in marks))
    return zlib.compress(offsets + b"".join(mark.content for mark in marks))


def unpack_marks(packed: bytes, *, after: int) -> tuple[Mark, ...]:
    """Read what `pack_marks` wrote; of what was changed since, nothing."""
    try:
        plain = zlib.decompress(packed)
    except (zlib.error, TypeError):
        return ()
    count = len(plain) // (2 + _MARK_BYTES)
    offsets = struct.unpack(f">{count}H", plain[: 2 * count])
    contents = (plain[2 * count + _MARK_BYTES * place :][:_MARK_BYTES] for place in range(count))
    return tuple(
        Mark(after + offset, content) for offset, content in zip(offsets, contents, strict=True)
    )


def first_difference(
    expected: Sequence[Mark], actual: Sequence[Mark]
) -> tuple[Finding, int, int] | None:
    """Find the first place where records are not those that were closed.

    Returns:
        What happened, the number of the record, and its place among `actual` (where one is
        missing, the place that it would have); None where the marks tell no difference.
    """
    were = {mark.content for mark in expected}
    are = {mark.content for mark in actual}
    for place in range(max(len(expected), len(actual))):
        old = expected[place] if place < len(expected) else None
        new = actual[place] if place < len(actual) else None
        if old == new:
            continue
        if new is None or (old is not None and new.sequence > old.sequence):
            assert old is not None  # noqa: S101 - one of the two is there # nosec B101
            return ("reordered" if old.content in are else "removed"), old.sequence, place
        if old is None or new.sequence < old.sequence:
            return ("reordered" if new.content in were else "added"), new.sequence, place
        return (
            _exchanged(was_known=new.content in were, is_there=old.content in are),
            (new.sequence),
            place,
        )
    return None


def _exchanged(*, was_known: bool, is_there: bool) -> Finding:
    """Say what happened where a number stands for another record than before."""
    if was_known:
        return "reordered" if is_there else "removed"
    return "added" if is_there else "changed"


def _contents(record: Record) -> bytes:
    """Write everything in a record but its number; booleans of SQLite are numbers."""
    values = list(record[1:])
    is_test = values[_PLACE["is_test"] - 1]
    if is_test in (0, 1):
        values[_PLACE["is_test"] - 1] = bool(is_test)
    return orjson.dumps(values, default=repr)


def _canonical(sequence: int, content: bytes) -> bytes:
    return b"[%d," % sequence + content[1:]


def _short(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_MARK_BYTES).digest()


def _counts_before(record: Record, moment_us: int) -> bool:
    counted_at_us = record[_COUNTED]
    return not isinstance(counted_at_us, int) or counted_at_us < moment_us


def _add(sums: dict[Account, Sums], record: Record) -> None:
    outcome, rows, units = (record[_PLACE[name]] for name in ("outcome", "rows", "units"))
    if outcome == "lost" or not (isinstance(rows, int) and isinstance(units, int)):
        return
    account = Account(
        str(record[_PLACE["tenant_id"]]),
        str(record[_PLACE["model"]]),
        bool(record[_PLACE["is_test"]]),
    )
    added = Sums(int(outcome == "ok"), rows, units)
    sums[account] = sums.get(account, Sums()).plus(added)
