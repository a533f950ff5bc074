"""The SQL tables of OAuth2 clients, beside those of the catalogue."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    LargeBinary,
    String,
    Table,
)

from auth.tables import ID, UtcDateTime, metadata, pepper_version

oauth_clients: Final = Table(
    "oauth_clients",
    metadata,
    Column("client_id", ID, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("authentication", String(32), nullable=False),
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

oauth_client_secrets: Final = Table(
    "oauth_client_secrets",
    metadata,
    Column("client_id", ForeignKey("oauth_clients.client_id"), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime),
    pepper_version(),
)
"""What is stored of a client secret: its digest. During a rotation a client has more than one."""

oauth_client_keys: Final = Table(
    "oauth_client_keys",
    metadata,
    Column("client_id", ForeignKey("oauth_clients.client_id"), primary_key=True),
    Column("kid", String(128), primary_key=True),
    Column("jwk", JSON, nullable=False),
    Column("expires_at", UtcDateTime),
)
"""Public keys of clients that sign (RFC 7523); during a rotation the earlier ones have an end."""

used_assertions: Final = Table(
    "used_assertions",
    metadata,
    Column("client_id", ID, primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
"""Assertions that were accepted once, by the SHA-256 of their `jti`, until they have expired."""
