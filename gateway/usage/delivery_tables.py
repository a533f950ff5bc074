"""The SQL tables of deliveries: how far each destination is, and what it did not take."""

from typing import Final

from sqlalchemy import BigInteger, Column, String, Table

from gateway.usage.tables import metadata

_TEXT: Final = String().with_variant(String(collation="C"), "postgresql")

usage_deliveries: Final = Table(
    "usage_deliveries",
    metadata,
    Column("destination", _TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("moved_at_us", BigInteger, nullable=False),
    Column("holder", _TEXT, nullable=False),
    Column("held_until_us", BigInteger, nullable=False),
)
"""`position` is the sequence number up to which everything was taken or put aside."""

usage_undelivered: Final = Table(
    "usage_undelivered",
    metadata,
    Column("destination", _TEXT, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", _TEXT, nullable=False),
    Column("tenant_id", _TEXT, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("noted_at_us", BigInteger, nullable=False),
)
