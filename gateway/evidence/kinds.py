"""What a reconciliation can find: what is wrong, and what only looks so and is explained."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """One kind of thing that does not match: its name, what it means, whether it is wrong."""

    UNBILLED = ("unbilled", "answered with success, and neither in the ledger nor in a journal")
    UNLOGGED = ("unlogged", "in the ledger, and the proxy saw no such request")
    BILLED_REFUSAL = ("billed_refusal", "in the ledger, and the proxy saw it refused")
    OTHER_UNITS = ("other_units", "the ledger has other units than the caller was told")
    REPEATED_ID = ("repeated_id", "the proxy gave one id to more than one request")
    OVERDUE = ("overdue", "promised to be in the ledger, and still in a journal alone")
    CONFLICT = ("conflict", "the ledger has other content under this id than a journal")
    ORPHANED_MARK = ("orphaned_mark", "marks or corrects a record that is not in the ledger")
    LIMITER_BEHIND = ("limiter_behind", "the limiter counts less than the ledger bills")
    LIMITER_AHEAD = ("limiter_ahead", "the limiter counts more than the ledger bills")

    IN_JOURNAL = ("in_journal", "on its way to the ledger", True)
    CALLER_LEFT = (
        "caller_left",
        "billed, and its caller had gone before the answer was sent",
        True,
    )
    ANSWER_LOST = (
        "answer_lost",
        "billed, and its worker or the way to it broke before the answer",
        True,
    )
    UNFINISHED = ("unfinished", "billed within the last minute; the proxy may still send it", True)
    UNTOLD = ("untold", "the limiter has not counted this tenant yet", True)
    HELD = ("held", "the limiter counts requests in flight, or lost with their worker", True)

    def __init__(self, title: str, meaning: str, is_explained: bool = False) -> None:  # noqa: FBT001, FBT002 - members are written as tuples
        self.title = title
        self.meaning = meaning
        self.is_explained = is_explained


DIFFERENCES = tuple(kind for kind in Kind if not kind.is_explained)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not match."""

    kind: Kind
    subject: str
    """The request id; the tenant's where a limiter is compared."""

    detail: str = ""


@dataclass(slots=True)
class Tally:
    """Count what is found, and hand it on; nothing is kept."""

    on_finding: Callable[[Finding], None]
    counts: Counter[Kind] = field(default_factory=Counter)

    def note(self, kind: Kind, subject: str, detail: str = "") -> None:
        """Take one finding in."""
        self.counts[kind] += 1
        self.on_finding(Finding(kind, subject, detail))

    @property
    def differences(self) -> int:
        """How many are not explained."""
        return sum(count for kind, count in self.counts.items() if not kind.is_explained)
