"""The catalogue as one object: plans, tenants, API keys, OAuth2 clients and signing keys."""

from auth.assertion_store import AssertionStore
from auth.client_store import ClientStore
from auth.key_store import KeyStore
from auth.signing_key_store import SigningKeyStore
from auth.tenant_store import TenantStore


class Store(TenantStore, KeyStore, ClientStore, AssertionStore, SigningKeyStore):
    """Keep plans, tenants, API keys, OAuth2 clients and signing keys in SQL.

    `Store(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue` for how writes
    become visible.
    """
