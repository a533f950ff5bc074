"""Make the audit log.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Change nothing yet."""
