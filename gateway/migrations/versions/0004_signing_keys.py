"""Make the signing keys of access tokens.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Change nothing yet."""
