"""Make the signing keys of access tokens, and the list of tokens that were revoked.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "signing_keys",
        sa.Column("kid", _ID, nullable=False),
        sa.Column("public_point", sa.LargeBinary(64), nullable=False),
        sa.Column("sealed_private", sa.LargeBinary()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("signs_from", _TIME, nullable=False),
        sa.Column("signs_until", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    op.create_index("ix_signing_keys_revision", "signing_keys", ["revision"])
    op.create_table(
        "revoked_tokens",
        sa.Column("token_id", _ID, nullable=False),
        sa.Column("client_id", _ID, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="pk_revoked_tokens"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"])
    op.create_index("ix_revoked_tokens_revision", "revoked_tokens", ["revision"])


def downgrade() -> None:
    """Drop everything again."""
    op.drop_table("revoked_tokens")
    op.drop_table("signing_keys")
