"""The catalogue as one object: every operation on plans, tenants, API keys and OAuth2 clients."""

from auth.assertion_store import AssertionStore
from auth.client_store import ClientStore
from auth.key_store import KeyStore
from auth.tenant_store import TenantStore


class Store(TenantStore, KeyStore, ClientStore, AssertionStore):
    """Keep plans, tenants, API keys and OAuth2 clients in SQL.

    `Store(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue` for how writes
    become visible.
    """
