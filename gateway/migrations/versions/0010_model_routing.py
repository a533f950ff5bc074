"""Route the requests of a model between its versions.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"

_NAME = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_VERSION = sa.String(18)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "model_routes",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("champion", _VERSION, nullable=False),
        sa.Column("challenger", _VERSION, nullable=False),
        sa.Column("weight", sa.Float(53), nullable=False),
        sa.Column("sticky", sa.String(16), nullable=False),
        sa.Column("budget", sa.Float(53), nullable=False),
        sa.Column("tolerance", sa.Float(53), nullable=False),
        sa.Column("trial", sa.BigInteger(), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_model_routes"),
    )
    op.create_index("ix_model_routes_revision", "model_routes", ["revision"])
    op.create_table(
        "model_trial_counts",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", "trial", "subject", name="pk_model_trial_counts"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("model_trial_counts")
    op.drop_table("model_routes")
