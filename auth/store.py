"""The catalogue as one object: tenants, every kind of credential, admins and signing keys."""

from auth.admin_store import AdminStore
from auth.assertion_store import AssertionStore
from auth.audit_store import AuditStore
from auth.client_store import ClientStore
from auth.key_store import KeyStore
from auth.pepper_store import PepperStore
from auth.session_store import SessionStore
from auth.signing_key_store import SigningKeyStore
from auth.tenant_store import TenantStore


class Store(
    TenantStore,
    KeyStore,
    ClientStore,
    AssertionStore,
    AdminStore,
    SessionStore,
    SigningKeyStore,
    AuditStore,
    PepperStore,
):
    """Keep everything of the catalogue in SQL.

    `Store(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue` for how writes
    become visible.
    """
