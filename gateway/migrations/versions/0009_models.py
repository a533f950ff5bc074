"""Register the versions of models by their content.

A step that has been released is never edited, so it names its columns itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"

_TIME = sa.DateTime(timezone=True)
_NAME = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_VERSION = sa.String(18)
_DIGEST = sa.String(64)
_WORKER = sa.String(64)
_FOLLOWED = ("models", "model_versions", "model_labels")


def upgrade() -> None:
    """Create the tables."""
    _create_catalogue()
    for table in _FOLLOWED:
        op.create_index(f"ix_{table}_revision", table, ["revision"])
    _create_workers()


def downgrade() -> None:
    """Drop them again."""
    for table in ("model_holdings", "model_workers", *_FOLLOWED):
        op.drop_table(table)


def _create_catalogue() -> None:
    op.create_table(
        "models",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("is_loaded", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "model_versions",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("version", _VERSION, nullable=False),
        sa.Column("digest", _DIGEST, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("pushed_at", _TIME, nullable=False),
        sa.Column("pushed_by", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_model_versions"),
    )
    op.create_table(
        "model_labels",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("version", _VERSION),
        sa.Column("pending", _VERSION),
        sa.Column("is_return", sa.Boolean(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name="pk_model_labels"),
    )


def _create_workers() -> None:
    op.create_table(
        "model_workers",
        sa.Column("worker_id", _WORKER, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_model_workers"),
    )
    op.create_table(
        "model_holdings",
        sa.Column("worker_id", _WORKER, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("version", _VERSION, nullable=False),
        sa.Column("digest", _DIGEST, nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "name", "version", name="pk_model_holdings"),
        sa.ForeignKeyConstraint(
            ["worker_id"],
            ["model_workers.worker_id"],
            name="fk_model_holdings_worker_id",
            ondelete="CASCADE",
        ),
    )
