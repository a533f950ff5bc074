"""Bind keys to models and networks, and let tenants be deleted.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Change nothing yet."""
