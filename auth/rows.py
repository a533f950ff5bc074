"""Turn rows of the catalogue into plain values."""

from typing import Any, Final, cast

from sqlalchemy import Row

from auth.tables import api_keys
from auth.tenants import ApiKey, Plan, Tenant, TenantStatus

AnyRow = Row[*tuple[Any, ...]]

API_KEY_COLUMNS: Final = tuple(api_keys.columns)


def plan_from(row: AnyRow) -> Plan:
    """Read a row of `plans`."""
    return Plan(
        plan_id=row.plan_id,
        name=row.name,
        requests_per_second=row.requests_per_second,
        burst=row.burst,
        units_per_month=row.units_per_month,
        max_in_flight=row.max_in_flight,
        weight=row.weight,
        created_at=row.created_at,
    )


def tenant_from(row: AnyRow) -> Tenant:
    """Read a row of `tenants`."""
    return Tenant(
        tenant_id=row.tenant_id,
        name=row.name,
        plan_id=row.plan_id,
        models=tuple(row.models),
        status=cast("TenantStatus", row.status),
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )


def api_key_from(row: AnyRow) -> ApiKey:
    """Read a row of `api_keys`."""
    return ApiKey(
        key_id=row.key_id,
        tenant_id=row.tenant_id,
        name=row.name,
        scopes=tuple(row.scopes),
        is_test=row.is_test,
        may_exceed_plan=row.may_exceed_plan,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        requests_per_second=row.requests_per_second,
        burst=row.burst,
        models=names_of(row.models),
        networks=names_of(row.networks),
    )


def names_of(stored: list[str] | None) -> tuple[str, ...] | None:
    """Read a list of names that may be absent."""
    return None if stored is None else tuple(stored)
