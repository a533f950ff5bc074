"""Make the ledger: usage records, and how far each journal has been delivered.

A step that has been released is never edited, so it names its columns itself and does not import
the tables of `gateway.usage`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "usage_records",
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("occurred_at_us", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _TEXT, nullable=False),
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("protocol", _TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("queue_us", sa.BigInteger(), nullable=False),
        sa.Column("compute_us", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("journal_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_usage_records"),
    )
    op.create_index(
        "ix_usage_records_tenant_id_occurred_at_us",
        "usage_records",
        ["tenant_id", "occurred_at_us"],
    )
    op.create_index("ix_usage_records_occurred_at_us", "usage_records", ["occurred_at_us"])
    op.create_table(
        "usage_journals",
        sa.Column("journal_id", _TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("complete_through_us", sa.BigInteger(), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", name="pk_usage_journals"),
    )


def downgrade() -> None:
    """Drop everything again."""
    op.drop_table("usage_journals")
    op.drop_table("usage_records")
