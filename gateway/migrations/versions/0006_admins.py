"""Make the admins and their sessions.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Change nothing yet."""
