"""The SQL tables of the ledger, for SQLite and PostgreSQL alike.

Records are numbered without a gap in the order in which they were committed. The totals by hour are
kept in the transaction that adds records; those by day and month follow when an hour is over.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table

metadata: Final = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

_TEXT: Final = String().with_variant(String(collation="C"), "postgresql")
_SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's own row number, where it is the primary key, and no index beside the table."""

usage_records: Final = Table(
    "usage_records",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("counted_at_us", BigInteger, nullable=False),
    Column("occurred_at_us", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("queue_us", BigInteger, nullable=False),
    Column("compute_us", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("period", Integer, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("request_id", _TEXT, nullable=False),
    Column("tenant_id", _TEXT, nullable=False),
    Column("key_id", _TEXT, nullable=False),
    Column("model", _TEXT, nullable=False),
    Column("version", _TEXT, nullable=False),
    Column("protocol", _TEXT, nullable=False),
    Column("outcome", _TEXT, nullable=False),
    Column("corrects", _TEXT, nullable=False),
    Column("journal_id", _TEXT, nullable=False),
    Index("ix_usage_records_request_id", "request_id", unique=True),
    Index("ix_usage_records_tenant_id_counted_at_us", "tenant_id", "counted_at_us"),
    Index("ix_usage_records_tenant_id_sequence", "tenant_id", "sequence"),
    Index("ix_usage_records_counted_at_us", "counted_at_us", postgresql_using="brin"),
)
"""`counted_at_us` is when a record counts: when it occurred, or, if the month was closed by then,
the first moment that was open. `period` is the month of it. The columns stand by their width,
since PostgreSQL pads them."""

usage_book: Final = Table(
    "usage_book",
    metadata,
    Column("book_id", Integer, primary_key=True, autoincrement=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("open_from_us", BigInteger, nullable=False),
    Column("folded_through_us", BigInteger, nullable=False),
    Column("pruned_through_us", BigInteger, nullable=False),
)
"""One row: the number that was given last, the first moment that is not closed, the moment before
which the totals by day and month hold everything, and the end of the months that were pruned."""

usage_journals: Final = Table(
    "usage_journals",
    metadata,
    Column("journal_id", _TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("complete_through_us", BigInteger, nullable=False),
    Column("is_closed", Boolean, nullable=False),
)

usage_conflicts: Final = Table(
    "usage_conflicts",
    metadata,
    Column("request_id", _TEXT, primary_key=True),
    Column("record", _TEXT, primary_key=True),
    Column("journal_id", _TEXT, nullable=False),
)
"""What came under a request id that the ledger has with other content, or from before the end of a
month whose records were removed: kept, and not billed."""


def _totals(name: str, start: Column[int] | None) -> Table:
    """Return a table of sums by tenant, key, model and version over hours, days or months."""
    leading = () if start is None else (start,)
    index = () if start is None else (Index(f"ix_{name}_{start.name}", start.name),)
    return Table(
        name,
        metadata,
        Column("tenant_id", _TEXT, primary_key=True),
        *leading,
        Column("period", Integer, nullable=False, primary_key=start is None, autoincrement=False),
        Column("key_id", _TEXT, primary_key=True),
        Column("model", _TEXT, primary_key=True),
        Column("version", _TEXT, primary_key=True),
        Column("is_test", Boolean, primary_key=True),
        Column("requests", BigInteger, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("units", BigInteger, nullable=False),
        Column("compute_us", BigInteger, nullable=False),
        Column("bytes_in", BigInteger, nullable=False),
        Column("bytes_out", BigInteger, nullable=False),
        *index,
    )


usage_hours: Final = _totals(
    "usage_hours", Column("hour_us", BigInteger, primary_key=True, autoincrement=False)
)
usage_days: Final = _totals(
    "usage_days", Column("day_us", BigInteger, primary_key=True, autoincrement=False)
)
usage_months: Final = _totals("usage_months", None)
