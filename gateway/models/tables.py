"""The SQL tables of model versions, for SQLite and PostgreSQL alike."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    MetaData,
    String,
    Table,
)

from auth.tables import UtcDateTime

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NAME_CHARACTERS: Final = 128
VERSION_CHARACTERS: Final = 18
REASON_CHARACTERS: Final = 300

_NAME: Final = String(NAME_CHARACTERS).with_variant(
    String(NAME_CHARACTERS, collation="C"), "postgresql"
)
_VERSION: Final = String(VERSION_CHARACTERS)
_DIGEST: Final = String(64)
_WORKER: Final = String(64)

models: Final = Table(
    "models",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("policy", JSON, nullable=False),
    Column("is_loaded", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""What is decided of a model as a whole: the version policy of its `model.toml`."""

model_versions: Final = Table(
    "model_versions",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("version", _VERSION, primary_key=True),
    Column("digest", _DIGEST, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(REASON_CHARACTERS), nullable=False),
    Column("pushed_at", UtcDateTime, nullable=False),
    Column("pushed_by", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

model_labels: Final = Table(
    "model_labels",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("version", _VERSION),
    Column("pending", _VERSION),
    Column("is_return", Boolean, nullable=False),
    Column("history", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""A label that was taken away keeps its row, without a version: so readers of changes see it."""

model_workers: Final = Table(
    "model_workers",
    metadata,
    Column("worker_id", _WORKER, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)
"""The processes that serve. One that has not been seen for a while is not waited for."""

model_holdings: Final = Table(
    "model_holdings",
    metadata,
    Column("worker_id", _WORKER, primary_key=True),
    Column("name", _NAME, primary_key=True),
    Column("version", _VERSION, primary_key=True),
    Column("digest", _DIGEST, nullable=False),
    Column("reason", String(REASON_CHARACTERS), nullable=False),
    ForeignKeyConstraint(["worker_id"], ["model_workers.worker_id"], ondelete="CASCADE"),
)
"""What a process has in memory; with a reason, what it could not load."""
