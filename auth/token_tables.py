"""The SQL tables of signing keys and of access tokens that were revoked."""

from typing import Final

from sqlalchemy import BigInteger, Column, LargeBinary, String, Table

from auth.tables import UtcDateTime, metadata

_TEXT: Final = String(64).with_variant(String(64, collation="C"), "postgresql")

signing_keys: Final = Table(
    "signing_keys",
    metadata,
    Column("kid", _TEXT, primary_key=True),
    Column("public_point", LargeBinary(64), nullable=False),
    Column("sealed_private", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("signs_from", UtcDateTime, nullable=False),
    Column("signs_until", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("purpose", _TEXT, nullable=False, server_default="access"),
)
"""A private part is there for as long as it is needed, and only sealed."""

revoked_tokens: Final = Table(
    "revoked_tokens",
    metadata,
    Column("token_id", _TEXT, primary_key=True),
    Column("client_id", _TEXT, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("revision", BigInteger, nullable=False, index=True),
)
