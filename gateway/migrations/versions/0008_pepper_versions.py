"""Let secrets say which version of the pepper, and of the sealing key, they were made with.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"

_DIGESTS = ("api_key_secrets", "oauth_client_secrets", "sessions")


def upgrade() -> None:
    """Create the marks of every version; what was made so far was made with the first."""
    op.create_table(
        "secret_marks",
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "version", name="pk_secret_marks"),
    )
    op.execute(
        "INSERT INTO secret_marks SELECT 'pepper', 1, pepper_mark FROM catalog_revision "
        "WHERE pepper_mark IS NOT NULL"
    )
    op.drop_column("catalog_revision", "pepper_mark")
    for table in _DIGESTS:
        version = sa.Column("pepper_version", sa.SmallInteger(), nullable=False, server_default="1")
        op.add_column(table, version)


def downgrade() -> None:
    """Drop everything again."""
    for table in _DIGESTS:
        op.drop_column(table, "pepper_version")
    op.add_column("catalog_revision", sa.Column("pepper_mark", sa.LargeBinary(32)))
    op.execute(
        "UPDATE catalog_revision SET pepper_mark = (SELECT mark FROM secret_marks "
        "WHERE purpose = 'pepper' AND version = 1)"
    )
    op.drop_table("secret_marks")
