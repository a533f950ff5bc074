"""What the catalogue holds: plans, tenants and API keys, as plain values.

Times are aware and in UTC. A limit of None is no limit.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

PLATFORM_TENANT_ID: Final = "platform"
"""The tenant whose keys may hold platform scopes; seeded by the first migration."""

ALL_MODELS: Final = ("*",)
"""What `Tenant.models` says when every model is granted."""

TenantStatus = Literal["active", "suspended", "deleted"]


@dataclass(frozen=True, slots=True)
class Plan:
    """State the limits that a tenant has bought."""

    plan_id: str
    name: str
    requests_per_second: float | None
    burst: int | None
    units_per_month: int | None
    max_in_flight: int | None
    created_at: datetime
    weight: int = 1
    """Share of a model's time beside other tenants that wait for it: twice the weight, twice the
    rows."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Describe a customer: the owner of keys and usage."""

    tenant_id: str
    name: str
    plan_id: str | None
    models: tuple[str, ...]
    status: TenantStatus
    created_at: datetime
    deleted_at: datetime | None = None
    """When it was deleted for good; the row stays, so that bills can name it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Describe a credential by its public half: everything but the secret."""

    key_id: str
    tenant_id: str
    name: str
    scopes: tuple[str, ...]
    is_test: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_second: float | None
    burst: int | None
    may_exceed_plan: bool = False
    """The platform set the limits: they hold whatever the plan says."""
    models: tuple[str, ...] | None = None
    """Of the models granted to the tenant only these; None is all of them."""
    networks: tuple[str, ...] | None = None
    """Works from these networks only, in canonical CIDR form; None is from anywhere."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """Carry a new credential to the one answer that shows it.

    Threat: a representation with the secret in it would end in a log; this one leaves it out.
    """

    key: ApiKey
    api_key: str = field(repr=False)
