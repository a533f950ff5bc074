"""Make the OAuth2 clients of tenants.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    _create_clients()
    _create_client_secrets()
    _create_client_keys()
    _create_used_assertions()


def downgrade() -> None:
    """Drop everything again."""
    for table in ("used_assertions", "oauth_client_keys", "oauth_client_secrets", "oauth_clients"):
        op.drop_table(table)


def _create_clients() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("authentication", sa.String(32), nullable=False),
        sa.Column("may_exceed_plan", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("last_used_at", _TIME),
        sa.Column("requests_per_second", sa.Float(53)),
        sa.Column("burst", sa.BigInteger()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_oauth_clients"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name="fk_oauth_clients_tenant_id"
        ),
    )
    op.create_index("ix_oauth_clients_tenant_id", "oauth_clients", ["tenant_id"])
    op.create_index("ix_oauth_clients_revision", "oauth_clients", ["revision"])


def _create_client_secrets() -> None:
    op.create_table(
        "oauth_client_secrets",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", _TIME),
        sa.PrimaryKeyConstraint("client_id", "digest", name="pk_oauth_client_secrets"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.client_id"], name="fk_oauth_client_secrets_client_id"
        ),
    )


def _create_client_keys() -> None:
    op.create_table(
        "oauth_client_keys",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("kid", sa.String(128), nullable=False),
        sa.Column("jwk", sa.JSON(), nullable=False),
        sa.Column("expires_at", _TIME),
        sa.PrimaryKeyConstraint("client_id", "kid", name="pk_oauth_client_keys"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.client_id"], name="fk_oauth_client_keys_client_id"
        ),
    )


def _create_used_assertions() -> None:
    op.create_table(
        "used_assertions",
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "digest", name="pk_used_assertions"),
    )
    op.create_index("ix_used_assertions_expires_at", "used_assertions", ["expires_at"])
