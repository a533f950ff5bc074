"""Register the versions of models by their content."""

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Add nothing yet."""


def downgrade() -> None:
    """Take nothing away."""
