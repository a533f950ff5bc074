"""Route the requests of a model between its versions."""

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Add nothing yet."""


def downgrade() -> None:
    """Take nothing away."""
