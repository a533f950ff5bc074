"""The SQL tables of admins, their sessions, and the token that makes the first of them."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    SmallInteger,
    String,
    Table,
)

from auth.admins import USERNAME_CHARACTERS
from auth.tables import ID, UtcDateTime, metadata, pepper_version

_HASH_CHARACTERS: Final = 255

admins: Final = Table(
    "admins",
    metadata,
    Column("admin_id", ID, primary_key=True),
    Column("username", String(USERNAME_CHARACTERS), nullable=False, unique=True),
    Column("password_hash", String(_HASH_CHARACTERS), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("totp_sealed", LargeBinary),
    Column("totp_pending_sealed", LargeBinary),
    Column("totp_last_step", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("password_changed_at", UtcDateTime, nullable=False),
    Column("last_log_in_at", UtcDateTime),
    Column("revision", BigInteger, nullable=False),
)
"""Of an authenticator: the secret in use, one that has not shown a code yet, both sealed, and the
step of the last code that was accepted.
"""

sessions: Final = Table(
    "sessions",
    metadata,
    Column("session_id", ID, primary_key=True),
    Column("admin_id", ForeignKey("admins.admin_id"), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False),
    pepper_version(),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("idle_ends_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("revision", BigInteger, nullable=False, index=True),
)

bootstrap_token: Final = Table(
    "bootstrap_token",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("digest", LargeBinary(32)),
    Column("expires_at", UtcDateTime, nullable=False),
)
"""At most one row: the latest token. Its digest is gone once an admin was made with it."""
