"""Let secrets say which version of the pepper, and of the sealing key, they were made with.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Create the marks of the sealing key."""
    op.create_table(
        "sealing_marks",
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_sealing_marks"),
    )


def downgrade() -> None:
    """Drop everything again."""
    op.drop_table("sealing_marks")
