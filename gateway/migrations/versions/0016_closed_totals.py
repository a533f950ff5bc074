"""Remember how far months were pruned.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision: str | None = "0015"

_NEXT_MONTH = {
    "sqlite": (
        "CAST(strftime('%s', printf('%04d-%02d-01', max(period) / 100, max(period) % 100),"
        " '+1 month') AS INTEGER)"
    ),
    "postgresql": (
        "CAST(extract(epoch FROM make_timestamp(max(period) / 100, max(period) % 100, 1, 0, 0, 0)"
        " + interval '1 month') AS bigint)"
    ),
}


def upgrade() -> None:
    """Add the column, and write down what was pruned already."""
    dialect = op.get_bind().dialect.name
    pruned = sa.Column("pruned_through_us", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("usage_book", pruned)
    op.execute(
        f"UPDATE usage_book SET pruned_through_us = coalesce((SELECT {_NEXT_MONTH[dialect]}"  # noqa: S608 - of constants alone # nosec B608
        " * 1000000 FROM usage_periods WHERE pruned_at_us IS NOT NULL), 0)"
    )


def downgrade() -> None:
    """Drop the column again."""
    op.drop_column("usage_book", "pruned_through_us")
