"""Requests are closed and strict; answers never hold what must not be shown."""

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from auth.tenants import ApiKey, IssuedKey
from gateway.schemas import (
    IssuedKeyDocument,
    KeyDocument,
    KeyRotation,
    NewKey,
    NewPlan,
    NewTenant,
    TenantChange,
)

KEY = ApiKey(
    key_id="0123456789abcdef",
    tenant_id="ten_1",
    name="production",
    scopes=("predict",),
    is_test=True,
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
    requests_per_second=5.0,
    burst=None,
)


@pytest.mark.parametrize("schema", [NewPlan, NewTenant, NewKey, KeyRotation, TenantChange])
def test_examples_are_valid(schema: type[BaseModel]) -> None:
    """What the documentation shows can be sent as it stands."""
    example = schema.model_json_schema()["example"]
    schema.model_validate(example)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (NewPlan, '{"name": "x", "plan_id": "plan_mine"}'),
        (NewPlan, '{"name": "x", "created_at": "2026-11-01T00:00:00Z"}'),
        (NewTenant, '{"name": "x", "plan_id": "p", "models": [], "status": "active"}'),
        (NewTenant, '{"name": "x", "plan_id": "p", "models": [], "tenant_id": "platform"}'),
        (NewKey, '{"name": "x", "scopes": ["predict"], "tenant_id": "platform"}'),
        (NewKey, '{"name": "x", "scopes": ["predict"], "limits": {"units_per_month": 9}}'),
        (TenantChange, '{"name": "x"}'),
    ],
)
def test_fields_of_the_server_cannot_be_assigned(schema: type[BaseModel], body: str) -> None:
    """A member that is not listed is refused, not ignored."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        schema.model_validate_json(body)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (NewPlan, '{"name": ""}'),
        (NewPlan, '{"name": 5}'),
        (NewPlan, '{"name": "x", "requests_per_second": "5"}'),
        (NewPlan, '{"name": "x", "requests_per_second": 0}'),
        (NewPlan, '{"name": "x", "requests_per_second": 1e999}'),
        (NewPlan, '{"name": "x", "requests_per_second": 5e-324}'),
        (NewPlan, '{"name": "x", "burst": 1.5}'),
        (NewPlan, '{"name": "x", "burst": 1e999}'),
        (NewPlan, '{"name": "x", "burst": true}'),
        (NewPlan, '{"name": "x", "max_in_flight": true}'),
        (NewKey, '{"name": "x", "scopes": []}'),
        (NewKey, '{"name": "x", "scopes": "predict"}'),
        (NewKey, '{"name": "x", "scopes": ["predict"], "test": 1}'),
        (NewKey, '{"name": "x", "scopes": ["predict"], "expires_at": "2026-11-01T00:00:00"}'),
        (KeyRotation, '{"overlap_seconds": -1}'),
        (TenantChange, "{}"),
        (TenantChange, '{"plan_id": null}'),
        (TenantChange, '{"status": "deleted"}'),
    ],
)
def test_bad_values_are_refused(schema: type[BaseModel], body: str) -> None:
    """Nothing is converted, rounded or guessed."""
    with pytest.raises(ValidationError):
        schema.model_validate_json(body)


def test_whole_number_may_have_a_fraction_of_nothing() -> None:
    """JSON Schema knows one kind of number: 3.0 is the integer 3."""
    assert NewPlan.model_validate_json('{"name": "x", "burst": 3.0}').burst == 3
    assert KeyRotation.model_validate_json('{"overlap_seconds": 6e1}').overlap_seconds == 60


def test_absent_limits_are_no_limits() -> None:
    """A plan with nothing but a name limits nothing."""
    plan = NewPlan.model_validate_json('{"name": "free"}')
    assert (plan.requests_per_second, plan.burst, plan.units_per_month) == (None, None, None)


def test_key_is_shown_with_times_in_utc() -> None:
    """Times carry the letter Z, absent ones are null."""
    document = KeyDocument.of(KEY).model_dump(mode="json")
    assert document["created_at"] == "2026-11-01T00:00:00Z"
    assert document["expires_at"] is None
    assert document["limits"] == {"requests_per_second": 5.0, "burst": None}
    assert document["test"] is True


def test_secret_is_in_the_answer_and_not_in_its_representation() -> None:
    """What is logged by accident does not hold the key."""
    document = IssuedKeyDocument.of_issued(IssuedKey(KEY, "tg_test_secret"))
    assert document.model_dump()["api_key"] == "tg_test_secret"
    assert "tg_test_secret" not in repr(document)
