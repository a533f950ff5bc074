"""The catalogue as one object: every operation on plans, tenants and API keys."""

from auth.key_store import KeyStore
from auth.tenant_store import TenantStore


class Store(TenantStore, KeyStore):
    """Keep plans, tenants and API keys in SQL.

    `Store(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue` for how writes
    become visible.
    """
