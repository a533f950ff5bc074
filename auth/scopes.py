"""The scopes that a credential can hold, and which of them reach past its own tenant."""

from typing import Final

PREDICT: Final = "predict"
MODELS_READ: Final = "models:read"
KEYS_READ: Final = "keys:read"
KEYS_WRITE: Final = "keys:write"
USAGE_READ: Final = "usage:read"

TENANTS_READ: Final = "tenants:read"
TENANTS_WRITE: Final = "tenants:write"
PLANS_WRITE: Final = "plans:write"
USAGE_READ_ALL: Final = "usage:read:all"
AUDIT_READ: Final = "audit:read"
MODELS_WRITE: Final = "models:write"
USAGE_WRITE: Final = "usage:write"

PLATFORM_SCOPES: Final = frozenset(
    {TENANTS_READ, TENANTS_WRITE, PLANS_WRITE, USAGE_READ_ALL, USAGE_WRITE, MODELS_WRITE}
)
"""Scopes over every tenant: only for keys of the tenant `platform`."""

TENANT_SCOPES: Final = frozenset(
    {PREDICT, MODELS_READ, KEYS_READ, KEYS_WRITE, USAGE_READ, AUDIT_READ}
)
"""Scopes within the key's own tenant."""

ALL_SCOPES: Final = TENANT_SCOPES | PLATFORM_SCOPES

DESCRIPTIONS: Final = {
    PREDICT: "Ask for predictions",
    MODELS_READ: "Read what models take and give",
    KEYS_READ: "Read the tenant's API keys and OAuth2 clients",
    KEYS_WRITE: "Issue, rotate and revoke the tenant's API keys and OAuth2 clients",
    USAGE_READ: "Read the tenant's usage",
    TENANTS_READ: "Read every tenant and plan",
    TENANTS_WRITE: "Create and change tenants",
    PLANS_WRITE: "Create plans",
    USAGE_READ_ALL: "Read every tenant's usage",
    USAGE_WRITE: "Close months and correct usage",
    AUDIT_READ: "Read what was changed by whom",
    MODELS_WRITE: "Register models",
}
"""What each scope opens, for people."""
