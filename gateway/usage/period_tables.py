"""The SQL tables of closed months, for SQLite and PostgreSQL alike.

Triggers of both databases refuse to change what a closed month says of itself.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from gateway.usage.tables import metadata, usage_records

_TEXT: Final = String().with_variant(String(collation="C"), "postgresql")

usage_periods: Final = Table(
    "usage_periods",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("state", String(8), nullable=False),
    Column("closing_at_us", BigInteger, nullable=False),
    Column("after_sequence", BigInteger, nullable=False),
    Column("previous_root", String(64), nullable=False),
    Column("sealed_at_us", BigInteger),
    Column("last_sequence", BigInteger),
    Column("closed_at_us", BigInteger),
    Column("record_count", BigInteger),
    Column("requests", BigInteger),
    Column("rows", BigInteger),
    Column("units", BigInteger),
    Column("root", String(64)),
    Column("next_after", BigInteger),
    Column("digest", String(64)),
    Column("signature", _TEXT),
    Column("pruned_at_us", BigInteger),
)
"""One row for each month that is closing or closed; the others are open.

Its records have numbers in (`after_sequence`, `last_sequence`]; between them stand some of later
months. `next_after` is the `after_sequence` of the month that follows.
"""

usage_checkpoints: Final = Table(
    "usage_checkpoints",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("through_sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("record_count", BigInteger, nullable=False),
    Column("head", String(64), nullable=False),
    Column("later_sequence", BigInteger),
    Column("marks", LargeBinary, nullable=False),
)
"""Where the chain of a month stood after each lot of records, and a short mark of each of them.

`later_sequence` is the first number in the lot that belongs to a later month.
"""

usage_period_totals: Final = Table(
    "usage_period_totals",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("tenant_id", _TEXT, primary_key=True),
    Column("model", _TEXT, primary_key=True),
    Column("is_test", Boolean, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
)
"""Sums of the records that went into the chain of a month, added up as they did."""

Index(
    "ix_usage_records_corrects",
    usage_records.c.corrects,
    sqlite_where=usage_records.c.corrects != "",
    postgresql_where=usage_records.c.corrects != "",
)
