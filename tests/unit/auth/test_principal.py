"""What a principal may do."""

from dataclasses import replace

import pytest

from auth.errors import ScopeMissing, ScopeNotGrantable, TestKeyNotGrantable
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


def test_customer_issues_no_unbilled_keys() -> None:
    """Test keys cost nothing, so the platform alone hands them out."""
    ADMIN.require_may_issue_test_keys()
    with pytest.raises(TestKeyNotGrantable):
        CUSTOMER.require_may_issue_test_keys()
