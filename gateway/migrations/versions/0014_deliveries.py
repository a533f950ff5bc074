"""Remember how far usage was sent to each billing system, and what was not taken there.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "usage_deliveries",
        sa.Column("destination", _TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("moved_at_us", sa.BigInteger(), nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("held_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", name="pk_usage_deliveries"),
    )
    op.create_table(
        "usage_undelivered",
        sa.Column("destination", _TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("tenant_id", _TEXT, nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("noted_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "sequence", name="pk_usage_undelivered"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("usage_undelivered")
    op.drop_table("usage_deliveries")
