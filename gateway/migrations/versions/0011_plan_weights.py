"""Weigh the tenants of a plan against others where they share a model's time."""

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Add nothing yet."""


def downgrade() -> None:
    """Take nothing away."""
