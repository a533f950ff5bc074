"""What a principal may do."""

from dataclasses import replace

import pytest

from auth.bindings import Bindings
from auth.errors import (
    BindingNotGrantable,
    NetworkNotAllowed,
    ScopeMissing,
    ScopeNotGrantable,
    TestKeyNotGrantable,
)
from auth.networks import address_from, networks_of
from auth.principal import Principal

CUSTOMER = Principal(
    tenant_id="ten_a",
    credential_id="key",
    scopes=frozenset({"predict", "keys:write"}),
    models=frozenset({"housing"}),
    is_platform=False,
    is_test=False,
    requests_per_second=None,
    burst=None,
    units_per_month=None,
    max_in_flight=None,
)
ADMIN = replace(
    CUSTOMER,
    tenant_id="platform",
    scopes=frozenset({"tenants:write", "keys:write"}),
    models=None,
    is_platform=True,
)


def test_held_scope_passes() -> None:
    """A scope that the key holds is enough."""
    CUSTOMER.require("predict")


def test_missing_scope_is_named() -> None:
    """A scope that the key lacks is refused by name."""
    with pytest.raises(ScopeMissing) as refusal:
        CUSTOMER.require("usage:read")
    assert refusal.value.scope == "usage:read"


def test_only_granted_models_may_be_used() -> None:
    """The grant is a list of names, or all."""
    assert CUSTOMER.may_use("housing")
    assert not CUSTOMER.may_use("other")
    assert ADMIN.may_use("other")


def test_customer_acts_for_itself_alone() -> None:
    """Only the platform reaches another tenant."""
    assert CUSTOMER.may_act_for("ten_a")
    assert not CUSTOMER.may_act_for("ten_b")
    assert ADMIN.may_act_for("ten_b")


def test_customer_cannot_grant_more_than_it_holds() -> None:
    """A key does not make a stronger key."""
    CUSTOMER.require_grantable(["predict"])
    with pytest.raises(ScopeNotGrantable) as refusal:
        CUSTOMER.require_grantable(["predict", "usage:read", "tenants:write"])
    assert refusal.value.scopes == ("tenants:write", "usage:read")


def test_admin_grants_tenant_scopes_but_no_platform_scope_it_lacks() -> None:
    """An admin equips customers, and does not make itself stronger."""
    ADMIN.require_grantable(["predict", "usage:read", "tenants:write"])
    with pytest.raises(ScopeNotGrantable) as refusal:
        ADMIN.require_grantable(["usage:read:all"])
    assert refusal.value.scopes == ("usage:read:all",)


def bound(principal: Principal, *, models: str = "", networks: str = "") -> Principal:
    """Bind a caller to comma lists of models and networks."""
    return replace(
        principal,
        bound_models=frozenset(models.split(",")) if models else None,
        networks=networks_of(networks.split(",")) if networks else None,
    )


@pytest.mark.parametrize(
    ("wish", "bound_to"),
    [
        (Bindings(networks=("10.1.0.0/16",)), "models"),
        (Bindings(models=("housing", "other"), networks=("10.1.0.0/16",)), "models"),
        (Bindings(models=("housing",)), "networks"),
        (Bindings(models=("housing",), networks=("10.1.0.0/16", "192.0.2.0/24")), "networks"),
        (Bindings(models=("housing",), networks=("0.0.0.0/0",)), "networks"),
        (Bindings(models=("housing",), networks=("::/0",)), "networks"),
    ],
)
@pytest.mark.parametrize("caller", [CUSTOMER, ADMIN], ids=["customer", "admin"])
def test_bound_caller_cannot_grant_what_is_bound_less(
    caller: Principal, wish: Bindings, bound_to: str
) -> None:
    """A key that was stolen in the office makes none that works from anywhere."""
    with pytest.raises(BindingNotGrantable) as refusal:
        bound(caller, models="housing", networks="10.0.0.0/8").require_grantable(["predict"], wish)
    assert refusal.value.bound_to == bound_to


def test_bound_caller_grants_what_is_bound_as_much_or_more() -> None:
    """The same models and networks, or fewer of them."""
    caller = bound(CUSTOMER, models="housing,other", networks="10.0.0.0/9,10.128.0.0/9")
    caller.require_grantable(["predict"], Bindings(("housing", "other"), ("10.0.0.0/8",)))
    caller.require_grantable(["predict"], Bindings(("other",), ("10.2.3.4/32",)))


def test_unbound_caller_grants_any_binding() -> None:
    """Who is bound to nothing may bind others to what it likes."""
    CUSTOMER.require_grantable(["predict"], Bindings(("elsewhere",), ("::/0",)))


@pytest.mark.parametrize("source", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::a01:203", "?"])
def test_bound_caller_is_refused_from_elsewhere(source: str) -> None:
    """Another network, and a caller without an address."""
    with pytest.raises(NetworkNotAllowed):
        bound(CUSTOMER, networks="10.0.0.0/8").require_network(lambda: address_from(source))


def test_bound_caller_passes_from_its_network() -> None:
    """However its address is written."""
    caller = bound(CUSTOMER, networks="10.0.0.0/8")
    caller.require_network(lambda: address_from("::ffff:10.1.2.3"))


def test_unbound_callers_address_is_not_looked_at() -> None:
    """The common case costs no look at the headers."""

    def refuse() -> None:
        raise AssertionError("the address was asked for")

    CUSTOMER.require_network(refuse)


def test_customer_issues_no_unbilled_keys() -> None:
    """Test keys cost nothing, so the platform alone hands them out."""
    ADMIN.require_may_issue_test_keys()
    with pytest.raises(TestKeyNotGrantable):
        CUSTOMER.require_may_issue_test_keys()
