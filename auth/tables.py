"""The SQL tables of the catalogue, for SQLite and PostgreSQL alike."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.types import TypeDecorator

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Keep times aware and in UTC; SQLite would lose the offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (the signature is SQLAlchemy's)
        """Store the time in UTC; a naive one is a bug of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time reached the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (the signature is SQLAlchemy's)
        """Read the time as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


ID: Final = String(64).with_variant(String(64, collation="C"), "postgresql")
"""Ids are ordered by code points: the order of pages is then the one of `>` everywhere."""


def pepper_version() -> Column[int]:
    """Make the column beside a digest: the version of the pepper that it was made with."""
    return Column("pepper_version", SmallInteger, nullable=False, server_default="1")


metadata: Final = MetaData(naming_convention=_NAMES)

catalog_revision: Final = Table(
    "catalog_revision",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""One row, counted up first in every write: its lock puts commits in the order of revisions."""

plans: Final = Table(
    "plans",
    metadata,
    Column("plan_id", ID, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("requests_per_second", Float(53)),
    Column("burst", BigInteger),
    Column("units_per_month", BigInteger),
    Column("max_in_flight", BigInteger),
    Column("weight", SmallInteger, nullable=False, server_default="1"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

tenants: Final = Table(
    "tenants",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("plan_id", ForeignKey("plans.plan_id"), index=True),
    Column("models", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("revision", BigInteger, nullable=False, index=True),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("key_id", ID, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("may_exceed_plan", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("requests_per_second", Float(53)),
    Column("burst", BigInteger),
    Column("models", JSON(none_as_null=True)),
    Column("networks", JSON(none_as_null=True)),
    Column("revision", BigInteger, nullable=False, index=True),
)

api_key_secrets: Final = Table(
    "api_key_secrets",
    metadata,
    Column("key_id", ForeignKey("api_keys.key_id"), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime),
    pepper_version(),
)
"""What is stored of a secret: its digest. During a rotation a key has more than one."""
