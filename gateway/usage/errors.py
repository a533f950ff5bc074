"""What can go wrong between an answer and the bill.

UsageError
├── JournalUnavailable   a usage record could not be made durable, so no answer may leave
│   └── JournalDamaged   a journal's file is not what was written, until somebody salvages it
├── AnswersFull          no more answers can be kept for retries, so none is promised
├── JournalInUse         another process holds the journal file
├── JournalUnknown       the ledger has never heard of a journal
├── JournalAlive         a journal that a worker delivers cannot be forgotten
├── LedgerUnavailable    the SQL database did not take what the journal holds
├── DeliveryTaken        another sender works for a destination by now
├── UsageNotFound        a tenant has no usage of what it names
├── PeriodError
│   ├── PeriodNotFound   a text that names no month, or one from before the bill began
│   ├── PeriodNotOver    a month that still runs cannot be closed
│   ├── EarlierPeriodOpen  a month is closed after those before it
│   ├── PeriodOpen       what is not closed can neither be verified nor pruned
│   ├── PeriodWaits      a journal has not promised that it has delivered the month
│   ├── PeriodUndelivered  a destination has not taken all of a month that is to be pruned
│   ├── PeriodPruned     the records of a closed month are no longer kept
│   └── PeriodBroken     the records are not those that were closed
├── CorrectionError
│   ├── RecordNotFound   there is no record of this request
│   ├── CorrectionRefused  a correction that has no meaning, or would leave less than nothing
│   └── CorrectionExists the id of a correction stands for another record
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


class JournalDamaged(JournalUnavailable):
    """The journal file at `path` is not what was written; it does not heal by itself.

    The text is for whoever looks after the server: it says what to do.
    """

    def __init__(self, path: str, damage: str) -> None:
        super().__init__(
            f"the journal {path} is damaged ({damage}): stop its server, run `tollgate usage "
            f"salvage {path}`, and start the server again",
            retry_after_seconds=60,
        )
        self.path = path
        self.damage = damage


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


class PeriodError(UsageError):
    """A month is not as it would have to be; `message` may be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PeriodNotFound(PeriodError):
    """A text names no month, or one from before the bill began."""

    def __init__(self) -> None:
        super().__init__("there is no such month: it is written like 202611")


class PeriodNotOver(PeriodError):
    """The month `period` still runs, or has not begun."""

    def __init__(self, period: int) -> None:
        super().__init__(f"{period} is not over")
        self.period = period


class EarlierPeriodOpen(PeriodError):
    """The month `period` is to be closed first."""

    def __init__(self, period: int) -> None:
        super().__init__(f"months are closed in order: close {period} first")
        self.period = period


class PeriodOpen(PeriodError):
    """The month `period` is not closed."""

    def __init__(self, period: int) -> None:
        super().__init__(f"{period} is not closed")
        self.period = period


class PeriodWaits(PeriodError):
    """Nobody knows yet that all of the month is in the ledger; `journal_ids` hold it back."""

    def __init__(self, period: int, journal_ids: tuple[str, ...]) -> None:
        super().__init__(
            f"{period} is closing: {len(journal_ids)} journals have not delivered all of it: "
            f"{' '.join(journal_ids)}; start their servers, or, if one is lost for good, run "
            f"`tollgate usage forget {journal_ids[0]}`; then close the month again"
        )
        self.period = period
        self.journal_ids = journal_ids


class PeriodUndelivered(PeriodError):
    """Some `destinations` have not taken all records of the month `period`."""

    def __init__(self, period: int, destinations: tuple[str, ...]) -> None:
        super().__init__(
            f"{period} is not pruned: these have not taken all of it: {' '.join(destinations)}; "
            f"run `tollgate usage send --to {destinations[0]} --again`, or prune it with --force"
        )
        self.period = period
        self.destinations = destinations


class PeriodPruned(PeriodError):
    """The records of the month `period` are no longer kept."""

    def __init__(self, period: int) -> None:
        super().__init__(f"the records of {period} were pruned: its document alone is left")
        self.period = period


class PeriodBroken(PeriodError):
    """The records of a closed month are not those that were closed.

    Attributes:
        period: the month.
        finding: what was done to the first of them that differs.
        sequence: its number; None where only the whole is known to differ.
    """

    def __init__(
        self, period: int, finding: str, *, sequence: int | None = None, request_id: str = ""
    ) -> None:
        named = f" (request {request_id})" if request_id else ""
        record = "" if sequence is None else f"record {sequence}{named} was "
        super().__init__(f"{period} is not as it was closed: {record}{finding}")
        self.period = period
        self.finding = finding
        self.sequence = sequence


class CorrectionError(UsageError):
    """A correction cannot be made; `message` may be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RecordNotFound(CorrectionError):
    """The ledger has no record of a request that could be corrected."""

    def __init__(self) -> None:
        super().__init__("there is no record of such a request")


class CorrectionRefused(CorrectionError):
    """The correction has no meaning, or would leave less than nothing."""


class CorrectionExists(CorrectionError):
    """The id of the correction stands for another record."""

    def __init__(self) -> None:
        super().__init__("the id stands for another record")
