"""The one table of how a request can end, and what of it stands on the bill.

Source: issue 6, "which outcome is billed". The page docs/billing.md shows this table, and a test
drives each outcome over the real door.
"""

from typing import Final, NamedTuple


class Outcome(NamedTuple):
    """One way for a request to end."""

    name: str
    when: str
    status: str
    """What the caller gets over HTTP."""

    records: tuple[str, ...]
    """The outcomes of its usage records, in their order; none where nothing is written."""

    @property
    def is_billed(self) -> bool:
        """Whether its rows and units are on the bill."""
        return "ok" in self.records


OUTCOMES: Final = (
    Outcome("answered", "the answer was sent after its record was on disk", "200", ("ok",)),
    Outcome(
        "answered again",
        "an idempotency key replayed an answer; the first one is billed",
        "200",
        (),
    ),
    Outcome(
        "lost",
        "the connection was gone before the answer could be sent, and its record was on disk",
        "none",
        ("ok", "lost"),
    ),
    Outcome("client error", "the request or its input breaks the contract", "4xx", ()),
    Outcome("refused", "a credential, a limit or a quota said no", "401, 403, 429", ()),
    Outcome("no room", "the queue, the journal or its disk is full; nothing ran", "503", ()),
    Outcome("model error", "the model failed, or its output cannot be encoded", "4xx, 5xx", ()),
    Outcome("deadline", "it was not done by its deadline, however far it had come", "504", ()),
    Outcome(
        "cancelled",
        "the client left before its rows were dispatched; one with an idempotency key, before that"
        " had been looked up",
        "none",
        (),
    ),
    Outcome(
        "left",
        "the client left after its rows were dispatched and before its record was written, and had"
        " sent no idempotency key",
        "none",
        (),
    ),
    Outcome(
        "left with a key",
        "the client left after its idempotency key had been looked up, and before its record was on"
        " disk: the run goes on, and a retry gets its answer",
        "none",
        ("ok", "lost"),
    ),
)
