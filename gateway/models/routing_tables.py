"""The SQL tables of champions and challengers, for SQLite and PostgreSQL alike."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Float, MetaData, String, Table

from auth.tables import UtcDateTime

metadata: Final = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"}
)

_NAME: Final = String(128).with_variant(String(128, collation="C"), "postgresql")
SUBJECT_CHARACTERS: Final = 64

model_routes: Final = Table(
    "model_routes",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("champion", String(18), nullable=False),
    Column("challenger", String(18), nullable=False),
    Column("weight", Float(53), nullable=False),
    Column("sticky", String(16), nullable=False),
    Column("budget", Float(53), nullable=False),
    Column("tolerance", Float(53), nullable=False),
    Column("trial", BigInteger, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""The latest trial of each model. One that has ended stays, so that readers of changes see it."""

model_trial_counts: Final = Table(
    "model_trial_counts",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", String(SUBJECT_CHARACTERS), primary_key=True),
    Column("counts", JSON, nullable=False),
)
"""What all workers saw in the latest trial of each model: a few rows, which are added up."""
