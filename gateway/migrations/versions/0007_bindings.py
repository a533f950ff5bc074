"""Bind keys and clients to models and networks, and let tenants be deleted.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("tenants", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    for table in ("api_keys", "oauth_clients"):
        op.add_column(table, sa.Column("models", sa.JSON()))
        op.add_column(table, sa.Column("networks", sa.JSON()))


def downgrade() -> None:
    """Drop them again."""
    for table in ("oauth_clients", "api_keys"):
        op.drop_column(table, "networks")
        op.drop_column(table, "models")
    op.drop_column("tenants", "deleted_at")
