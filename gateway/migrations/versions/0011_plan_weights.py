"""Weigh the tenants of a plan against others where they share a model's time.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Give every plan the weight of one."""
    weight = sa.Column("weight", sa.SmallInteger(), nullable=False, server_default="1")
    op.add_column("plans", weight)


def downgrade() -> None:
    """Drop the column again."""
    op.drop_column("plans", "weight")
