"""Make the admins, their sessions and the bootstrap token.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    _create_admins()
    _create_sessions()
    op.create_table(
        "bootstrap_token",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_bootstrap_token_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_bootstrap_token"),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("bootstrap_token", "sessions", "admins"):
        op.drop_table(table)


def _create_admins() -> None:
    op.create_table(
        "admins",
        sa.Column("admin_id", _ID, nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("totp_sealed", sa.LargeBinary()),
        sa.Column("totp_pending_sealed", sa.LargeBinary()),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("disabled_at", _TIME),
        sa.Column("password_changed_at", _TIME, nullable=False),
        sa.Column("last_log_in_at", _TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("admin_id", name="pk_admins"),
        sa.UniqueConstraint("username", name="uq_admins_username"),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("admin_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("idle_ends_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["admin_id"], ["admins.admin_id"], name="fk_sessions_admin_id"),
    )
    op.create_index("ix_sessions_admin_id", "sessions", ["admin_id"])
    op.create_index("ix_sessions_revision", "sessions", ["revision"])
