"""The one billable fact: who had which model compute how much, and when."""

from typing import NamedTuple


class UsageRecord(NamedTuple):
    """One answered prediction. A tuple, because one is built for every request.

    The order of the fields is the order of the arrays in the journal and of the ledger's SQL:
    append, never reorder.
    """

    request_id: str
    """Unique for ever; the ledger counts it once. Ids that grow with time keep the ledger fast."""

    occurred_at_us: int
    """Microseconds since the epoch, from `Journal.stamp`."""

    tenant_id: str
    key_id: str
    model: str
    version: str
    protocol: str
    rows: int
    units: int
    """What is billed: rows times the unit weight of the model."""

    is_test: bool
    """Made with a test key: kept, never billed."""

    queue_us: int
    compute_us: int
    bytes_in: int
    bytes_out: int

    outcome: str = "ok"
    """`ok`; `lost` marks an answer that did not reach its caller. Journals of old do not say."""

    corrects: str = ""
    """The request id of the record that this one marks or corrects; empty for a record of its own.
    """


def lost_mark(record: UsageRecord, *, occurred_at_us: int) -> UsageRecord:
    """Return the mark of an answer that did not reach its caller; the answer stays billed."""
    return record._replace(
        request_id=f"{record.request_id}.lost",
        occurred_at_us=occurred_at_us,
        rows=0,
        units=0,
        queue_us=0,
        compute_us=0,
        bytes_in=0,
        bytes_out=0,
        outcome="lost",
        corrects=record.request_id,
    )
