"""The SQL tables of the ledger, for SQLite and PostgreSQL alike."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table

metadata: Final = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

_TEXT: Final = String().with_variant(String(collation="C"), "postgresql")

usage_records: Final = Table(
    "usage_records",
    metadata,
    Column("request_id", _TEXT, primary_key=True),
    Column("occurred_at_us", BigInteger, nullable=False),
    Column("period", Integer, nullable=False),
    Column("tenant_id", _TEXT, nullable=False),
    Column("key_id", _TEXT, nullable=False),
    Column("model", _TEXT, nullable=False),
    Column("version", _TEXT, nullable=False),
    Column("protocol", _TEXT, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("queue_us", BigInteger, nullable=False),
    Column("compute_us", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("journal_id", _TEXT, nullable=False),
    Index("ix_usage_records_tenant_id_occurred_at_us", "tenant_id", "occurred_at_us"),
    Index("ix_usage_records_occurred_at_us", "occurred_at_us"),
)

usage_journals: Final = Table(
    "usage_journals",
    metadata,
    Column("journal_id", _TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("complete_through_us", BigInteger, nullable=False),
    Column("is_closed", Boolean, nullable=False),
)
