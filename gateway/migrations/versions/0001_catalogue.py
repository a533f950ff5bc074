"""Make the catalogue: plans, tenants, API keys; and the tenant `platform`.

A step that has been released is never edited, so it names its columns itself and does not import
the tables of `auth`.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables and their first rows."""
    _create_catalog_revision()
    _create_plans()
    tenants = _create_tenants()
    _create_api_keys()
    _create_api_key_secrets()
    op.bulk_insert(
        tenants,
        [
            {
                "tenant_id": "platform",
                "name": "platform",
                "plan_id": None,
                "models": ["*"],
                "status": "active",
                "created_at": datetime.now(UTC),
                "revision": 1,
            }
        ],
    )


def downgrade() -> None:
    """Drop everything again."""
    for table in ("api_key_secrets", "api_keys", "tenants", "plans", "catalog_revision"):
        op.drop_table(table)


def _create_catalog_revision() -> None:
    table = op.create_table(
        "catalog_revision",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("pepper_mark", sa.LargeBinary(32)),
        sa.CheckConstraint("id = 1", name="ck_catalog_revision_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_catalog_revision"),
    )
    op.bulk_insert(table, [{"id": 1, "revision": 1}])


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column("plan_id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("requests_per_second", sa.Float(53)),
        sa.Column("burst", sa.BigInteger()),
        sa.Column("units_per_month", sa.BigInteger()),
        sa.Column("max_in_flight", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", name="pk_plans"),
    )
    op.create_index("ix_plans_revision", "plans", ["revision"])


def _create_tenants() -> sa.Table:
    table = op.create_table(
        "tenants",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("plan_id", _ID),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_tenants"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.plan_id"], name="fk_tenants_plan_id"),
    )
    op.create_index("ix_tenants_plan_id", "tenants", ["plan_id"])
    op.create_index("ix_tenants_revision", "tenants", ["revision"])
    return table


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("may_exceed_plan", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("last_used_at", _TIME),
        sa.Column("requests_per_second", sa.Float(53)),
        sa.Column("burst", sa.BigInteger()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_api_keys_tenant_id"),
    )
    op.create_index("ix_api_keys_tenant_id", "api_keys", ["tenant_id"])
    op.create_index("ix_api_keys_revision", "api_keys", ["revision"])


def _create_api_key_secrets() -> None:
    op.create_table(
        "api_key_secrets",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", _TIME),
        sa.PrimaryKeyConstraint("key_id", "digest", name="pk_api_key_secrets"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name="fk_api_key_secrets_key_id"),
    )
