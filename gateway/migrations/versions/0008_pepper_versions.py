"""Let secrets say which version of the pepper they were made with.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Change nothing yet."""
