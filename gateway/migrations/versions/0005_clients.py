"""Make the OAuth2 clients of tenants.

A step that has been released is never edited, so it names its columns itself.
"""

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Change nothing yet."""
