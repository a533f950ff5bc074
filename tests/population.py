"""Tenants and keys for a load, made through the public API with the admin key."""

from dataclasses import dataclass

from auth.admins import ADMIN_SCOPES
from tests.load import Caller
from tests.serving import Server

GENEROUS_PLAN = {
    "name": "generous",
    "requests_per_second": 1_000_000,
    "burst": 1_000_000,
    "units_per_month": None,
    "max_in_flight": None,
}


def make_plan(server: Server, **limits: object) -> str:
    """Create a plan and return its id."""
    body = GENEROUS_PLAN | limits
    answer = server.call("POST", "/v1/plans", key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return str(answer.body["plan_id"])


def make_tenant(server: Server, plan_id: str, *, name: str = "tenant") -> str:
    """Create a tenant that may use every model and return its id."""
    body = {"name": name, "plan_id": plan_id, "models": ["*"]}
    answer = server.call("POST", "/v1/tenants", key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return str(answer.body["tenant_id"])


def make_caller(server: Server, tenant_id: str, **fields: object) -> Caller:
    """Issue a key for predictions."""
    body = {"name": "load", "scopes": ["predict"]} | fields
    path = f"/v1/tenants/{tenant_id}/keys"
    answer = server.call("POST", path, key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return Caller(tenant_id, answer.body["key_id"], answer.body["api_key"])


@dataclass(frozen=True)
class OAuthClient:
    """An OAuth2 client of a tenant; the secret is empty where it signs."""

    tenant_id: str
    client_id: str
    client_secret: str


def make_client(server: Server, tenant_id: str, **fields: object) -> OAuthClient:
    """Make an OAuth2 client for predictions."""
    body = {"name": "machine", "scopes": ["predict"]} | fields
    path = f"/v1/tenants/{tenant_id}/clients"
    answer = server.call("POST", path, key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return OAuthClient(tenant_id, answer.body["client_id"], answer.body["client_secret"] or "")


def populate(server: Server, *, tenants: int, keys_each: int) -> list[Caller]:
    """Make several tenants with several keys each, all with limits that do not bind."""
    plan_id = make_plan(server)
    tenant_ids = [make_tenant(server, plan_id, name=f"tenant {n}") for n in range(tenants)]
    return [make_caller(server, tenant_id) for tenant_id in tenant_ids for _ in range(keys_each)]


def make_admin(server: Server, username: str, password: str) -> str:
    """Make an admin who may do everything but predict, and return its id."""
    body = {"username": username, "password": password, "scopes": sorted(ADMIN_SCOPES)}
    answer = server.call("POST", "/v1/admins", key=server.demo["admin_key"], body=body)
    assert answer.status == 201, answer.body
    return str(answer.body["admin_id"])
