"""Bind keys to models and networks, and let tenants be deleted.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("tenants", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    op.add_column("api_keys", sa.Column("models", sa.JSON()))
    op.add_column("api_keys", sa.Column("networks", sa.JSON()))


def downgrade() -> None:
    """Drop them again."""
    op.drop_column("api_keys", "networks")
    op.drop_column("api_keys", "models")
    op.drop_column("tenants", "deleted_at")
