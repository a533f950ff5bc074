"""What can go wrong between an answer and the bill.

UsageError
├── JournalUnavailable   a usage record could not be made durable, so no answer may leave
├── AnswersFull          no more answers can be kept for retries, so none is promised
├── JournalInUse         another process holds the journal file
├── JournalUnknown       the ledger has never heard of a journal
├── JournalAlive         a journal that a worker delivers cannot be forgotten
├── LedgerUnavailable    the SQL database did not take what the journal holds
├── DeliveryTaken        another sender works for a destination by now
├── UsageNotFound        a tenant has no usage of what it names
└── RangeInvalid         a report was asked for a range that has no meaning
"""


class UsageError(Exception):
    """Something that keeps usage from being counted or read."""


class JournalUnavailable(UsageError):
    """A usage record could not be made durable, so no answer may leave.

    Attributes:
        retry_after_seconds: when the journal may have healed.
        debug: the cause, for the log only.
    """

    def __init__(self, debug: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(debug)
        self.debug = debug
        self.retry_after_seconds = retry_after_seconds


class AnswersFull(UsageError):
    """No more answers can be kept for retries, so a request that asks for it does not run."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("the room for answers that are kept is full")
        self.retry_after_seconds = retry_after_seconds
        self.message = "no more answers can be kept now: send it later, or without Idempotency-Key"


class JournalInUse(UsageError):
    """Another process holds the journal file at `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"another server works here, it holds {path}: one server works per data folder"
        )
        self.path = path


class JournalUnknown(UsageError):
    """The ledger has never heard of the journal `journal_id`."""

    def __init__(self, journal_id: str) -> None:
        super().__init__("there is no such journal: `tollgate usage journals` lists them")
        self.journal_id = journal_id


class JournalAlive(UsageError):
    """A worker delivers the journal `journal_id`, or did a minute ago."""

    def __init__(self, journal_id: str) -> None:
        super().__init__(f"a worker delivers {journal_id}, or did a minute ago: stop it first")
        self.journal_id = journal_id


class LedgerUnavailable(UsageError):
    """The SQL database did not take what the journal holds; nothing is lost."""

    def __init__(self, debug: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(debug)
        self.debug = debug
        self.retry_after_seconds = retry_after_seconds


class DeliveryTaken(UsageError):
    """Another sender works for `destination` by now."""

    def __init__(self, destination: str) -> None:
        super().__init__(f"another sender works for {destination} now")
        self.destination = destination


class UsageNotFound(UsageError):
    """A tenant has no usage of the model or the credential that it names; it may not exist."""


class RangeInvalid(UsageError):
    """A report was asked for a range that has no meaning; `message` may be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
