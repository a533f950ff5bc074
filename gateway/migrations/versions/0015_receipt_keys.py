"""Say of each signing key what it signs: access tokens or receipts.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"

_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Every key that there is signs access tokens."""
    purpose = sa.Column("purpose", _ID, nullable=False, server_default="access")
    op.add_column("signing_keys", purpose)


def downgrade() -> None:
    """Drop the keys of receipts and the column again."""
    op.execute("DELETE FROM signing_keys WHERE purpose <> 'access'")
    op.drop_column("signing_keys", "purpose")
