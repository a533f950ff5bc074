"""Plans and tenants in SQL."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from auth.errors import CredentialInvalid, InvalidChange, NotFound, PlanNotFound, TenantNotFound
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID, Plan, Tenant, TenantStatus
from tests.actors import TESTER
from tests.unit.auth.conftest import FakeClock, Server

HOSTILE_NAMES = ["a:*{}b", "'; DROP TABLE tenants; --", "%s{0}$x", "Zo\u00eb \u6771\u4eac"]
FORBIDDEN_NAMES = ["", "   ", "a\nb", "a\x00b", "\x1b[2J", "\ud800", "\u202eevil", "x" * 201]


async def _plan(store: Store, *, requests_per_second: float | None = 10.0) -> Plan:
    return await store.create_plan(
        actor=TESTER,
        name="basic",
        requests_per_second=requests_per_second,
        burst=None,
        units_per_month=1000,
        max_in_flight=8,
        weight=3,
    )


async def test_plan_is_read_back_as_it_was_created(store: Store) -> None:
    """A plan comes back equal, time zone included."""
    plan = await _plan(store)
    assert await store.get_plan(plan.plan_id) == plan
    assert plan.plan_id.startswith("plan_")


async def test_rate_without_a_burst_gets_one_second_worth(store: Store) -> None:
    """A burst is filled in where a rate needs it, and only there."""
    assert (await _plan(store, requests_per_second=2.5)).burst == 3
    assert (await _plan(store, requests_per_second=None)).burst is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requests_per_second", 0.0),
        ("requests_per_second", 5e-324),
        ("requests_per_second", float("nan")),
        ("requests_per_second", float("inf")),
        ("burst", 0),
        ("burst", 10**30),
        ("units_per_month", -1),
        ("units_per_month", 2**63),
        ("max_in_flight", 0),
        ("weight", 0),
        ("weight", 1001),
    ],
)
async def test_limit_out_of_range_is_refused(store: Store, field: str, value: float) -> None:
    """A limit that is no limit, or that SQL could not hold, is named and refused."""
    limits: dict[str, float | None] = {
        "requests_per_second": 1.0,
        "burst": None,
        "units_per_month": None,
        "max_in_flight": None,
    }
    with pytest.raises(InvalidChange) as refusal:
        await store.create_plan(actor=TESTER, name="p", **(limits | {field: value}))  # type: ignore[arg-type]
    assert refusal.value.field == field


async def test_burst_needs_a_rate(store: Store) -> None:
    """A burst alone means nothing."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_plan(
            actor=TESTER,
            name="p",
            requests_per_second=None,
            burst=5,
            units_per_month=None,
            max_in_flight=None,
        )
    assert refusal.value.field == "burst"


async def test_tenant_is_read_back_as_it_was_created(store: Store) -> None:
    """A tenant comes back equal and active."""
    plan = await _plan(store)
    tenant = await store.create_tenant(
        actor=TESTER, name="Acme", plan_id=plan.plan_id, models=["b", "a", "b"]
    )
    assert await store.get_tenant(tenant.tenant_id) == tenant
    assert tenant.models == ("b", "a")
    assert tenant.status == "active"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_name_is_kept_as_it_is(store: Store, name: str) -> None:
    """A name is data wherever it goes."""
    tenant = await store.create_tenant(actor=TESTER, name=name, plan_id=None, models=["*"])
    assert (await store.get_tenant(tenant.tenant_id)).name == name
    assert len(await store.list_tenants(after=None, limit=10)) == 2


@pytest.mark.parametrize("name", FORBIDDEN_NAMES)
async def test_name_that_does_not_print_is_refused(store: Store, name: str) -> None:
    """A name that forges log lines or that SQL cannot hold is refused."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_tenant(actor=TESTER, name=name, plan_id=None, models=["*"])
    assert refusal.value.field == "name"


@pytest.mark.parametrize("models", [["*", "a"], ["a/b"], [""], ["\ud800"], ["x" * 129]])
async def test_grant_of_no_model_name_is_refused(store: Store, models: list[str]) -> None:
    """A grant is everything or names of models."""
    with pytest.raises(InvalidChange) as refusal:
        await store.create_tenant(actor=TESTER, name="Acme", plan_id=None, models=models)
    assert refusal.value.field == "models"


async def test_unknown_plan_makes_no_tenant(store: Store) -> None:
    """A tenant with a plan that is not there does not come to be."""
    with pytest.raises(PlanNotFound):
        await store.create_tenant(actor=TESTER, name="Acme", plan_id="plan_nowhere", models=["*"])
    assert len(await store.list_tenants(after=None, limit=10)) == 1


@pytest.mark.parametrize("strange", ["ten_unknown", "", "a:*{}\n", "\x00", "\ud800", "x" * 999])
async def test_strange_id_is_not_found(store: Store, strange: str) -> None:
    """Whatever stands in a path is either an id or not there."""
    with pytest.raises(TenantNotFound):
        await store.get_tenant(strange)
    with pytest.raises(PlanNotFound):
        await store.get_plan(strange)


async def test_update_changes_what_is_given_and_nothing_else(store: Store, tenant: Tenant) -> None:
    """A change leaves the rest alone."""
    changed = await store.update_tenant(tenant.tenant_id, actor=TESTER, models=["housing"])
    assert changed.models == ("housing",)
    assert (changed.name, changed.status, changed.plan_id) == (tenant.name, "active", None)


async def test_update_of_an_unknown_tenant_is_not_found(store: Store) -> None:
    """Nothing is made by changing it."""
    with pytest.raises(TenantNotFound):
        await store.update_tenant("ten_unknown", actor=TESTER, status="suspended")


async def test_platform_cannot_be_suspended(store: Store) -> None:
    """Nobody locks the only door from outside."""
    with pytest.raises(InvalidChange):
        await store.update_tenant(PLATFORM_TENANT_ID, actor=TESTER, status="suspended")


async def test_deleted_tenant_is_found_by_those_who_bill_alone(
    store: Store, tenant: Tenant, clock: FakeClock
) -> None:
    """Its row stays and says when; nothing can be done with it any more."""
    issued = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    await store.delete_tenant(tenant.tenant_id, actor=TESTER)
    deleted = replace(tenant, status="deleted", deleted_at=clock.now)
    assert await store.get_tenant(tenant.tenant_id) == deleted
    assert deleted in await store.list_tenants(after=None, limit=10)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: store.update_tenant(tenant.tenant_id, actor=TESTER, status="active"),
        lambda: store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]),
        lambda: store.list_keys(tenant.tenant_id, after=None, limit=10),
        lambda: store.get_key(tenant.tenant_id, issued.key.key_id),
        lambda: store.revoke_key(tenant.tenant_id, issued.key.key_id, actor=TESTER),
        lambda: store.rotate_key(
            tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=0
        ),
        lambda: store.get_plan_of(tenant.tenant_id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt()


async def test_tenant_is_deleted_once(store: Store, tenant: Tenant, clock: FakeClock) -> None:
    """Deleting it again changes nothing, not even the time."""
    await store.delete_tenant(tenant.tenant_id, actor=TESTER)
    first = await store.get_tenant(tenant.tenant_id)
    clock.advance(60)
    await store.delete_tenant(tenant.tenant_id, actor=TESTER)
    assert await store.get_tenant(tenant.tenant_id) == first


@pytest.mark.parametrize("status", ["active", "suspended"])
async def test_credentials_of_a_deleted_tenant_are_unknown(
    store: Store, tenant: Tenant, server: Server, *, status: TenantStatus
) -> None:
    """From the next request on, and no longer with the answer of a suspended tenant."""
    issued = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    await store.update_tenant(tenant.tenant_id, actor=TESTER, status=status)
    await store.delete_tenant(tenant.tenant_id, actor=TESTER)
    with pytest.raises(CredentialInvalid):
        await server.principal(issued.api_key)


async def test_unknown_tenant_cannot_be_deleted(store: Store) -> None:
    """What never was is not found."""
    with pytest.raises(TenantNotFound):
        await store.delete_tenant("ten_unknown", actor=TESTER)


async def test_platform_cannot_be_deleted(store: Store) -> None:
    """Nor can what holds the admins' own keys."""
    with pytest.raises(InvalidChange):
        await store.delete_tenant(PLATFORM_TENANT_ID, actor=TESTER)


async def test_first_migration_seeds_the_platform(store: Store) -> None:
    """The tenant of the admins is there from the start."""
    platform = await store.get_tenant(PLATFORM_TENANT_ID)
    assert (platform.name, platform.plan_id, platform.models) == ("platform", None, ("*",))


async def test_pages_together_are_everything_once(store: Store) -> None:
    """Following the cursor visits every tenant exactly once, in order."""
    for number in range(6):
        await store.create_tenant(actor=TESTER, name=f"t{number}", plan_id=None, models=["*"])
    seen: list[str] = []
    while page := await store.list_tenants(after=seen[-1] if seen else None, limit=3):
        seen += [tenant.tenant_id for tenant in page]
    assert len(seen) == 7
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(("after", "limit"), [("\x00", 1), ("\ud800", 1), (None, 0), (None, -1)])
async def test_unreasonable_page_is_refused(store: Store, after: str | None, limit: int) -> None:
    """A page has a real cursor and a real length."""
    with pytest.raises(InvalidChange):
        await store.list_tenants(after=after, limit=limit)


@pytest.mark.parametrize("create", [Store.create_plan, Store.create_tenant, Store.create_key])
def test_server_owned_fields_cannot_be_assigned(create: Callable[..., object]) -> None:
    """No way to create something takes its id, its times or its state."""
    owned = {"plan_id", "key_id", "created_at", "revoked_at", "status", "revision", "digest"}
    parameters = set(inspect.signature(create).parameters)
    assert not parameters & (owned - ({"plan_id"} if create is Store.create_tenant else set()))
    assert "kwargs" not in parameters
