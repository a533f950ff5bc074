"""Say what the control plane takes and gives: every request and response as a typed schema.

Requests are strict and closed: a member that is not listed is refused, so that nobody sets a field
that the server owns, and nothing is converted in silence. Times are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.functional_serializers import PlainSerializer

from auth.bindings import Bindings
from auth.networks import MAX_NETWORKS
from auth.rules import (
    MAX_COUNT,
    MAX_MODELS,
    MAX_OVERLAP_SECONDS,
    MAX_RATE_PER_SECOND,
    MAX_WEIGHT,
    MIN_RATE_PER_SECOND,
    NAME_CHARACTERS,
)
from auth.scopes import ALL_SCOPES
from auth.tenants import ApiKey, IssuedKey, Plan, Tenant
from gateway.moments import rfc3339

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ModelName = Annotated[
    str, StringConstraints(max_length=128, pattern=r"^(\*|[A-Za-z0-9._-]{1,128})$")
]
ScopeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Field(json_schema_extra={"enum": sorted(ALL_SCOPES)}),
]
RequestsPerSecond = Annotated[float, Field(ge=MIN_RATE_PER_SECOND, le=MAX_RATE_PER_SECOND)]


def _whole(value: object) -> object:
    """Take 3.0 as the number 3, which it is in JSON Schema (2020-12, section 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


TAKES_WHOLE = BeforeValidator(_whole)
Count = Annotated[int, Field(ge=1, le=MAX_COUNT), TAKES_WHOLE]
Overlap = Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS), TAKES_WHOLE]
Models = Annotated[list[ModelName], Field(max_length=MAX_MODELS)]
BoundModels = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]],
    Field(
        min_length=1,
        max_length=MAX_MODELS,
        description="Of the models that the tenant may use only these; null is all of them",
    ),
]
Networks = Annotated[
    list[Annotated[str, StringConstraints(max_length=64)]],
    Field(
        min_length=1,
        max_length=MAX_NETWORKS,
        description="Works from these networks (CIDR) only; null is from anywhere",
        examples=[["192.0.2.0/24", "2001:db8::/32"]],
    ),
]

Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class RequestSchema(BaseModel):
    """A body that is refused when it holds anything but what is listed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ResponseSchema(BaseModel):
    """An answer, built from the records."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class NewPlan(RequestSchema):
    """The limits that tenants buy; a limit that is absent or null is no limit."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "starter",
                "requests_per_second": 50,
                "burst": 100,
                "units_per_month": 100_000,
                "max_in_flight": 16,
                "weight": 2,
            }
        }
    )

    name: Name
    requests_per_second: RequestsPerSecond | None = None
    burst: Count | None = None
    units_per_month: Annotated[int, Field(ge=0, le=MAX_COUNT), TAKES_WHOLE] | None = None
    max_in_flight: Count | None = None
    weight: Annotated[int, Field(ge=1, le=MAX_WEIGHT), TAKES_WHOLE] = 1
    """Share of a model's time beside other tenants that wait for it."""


class PlanDocument(ResponseSchema):
    """A plan."""

    plan_id: str
    name: str
    requests_per_second: float | None
    burst: int | None
    units_per_month: int | None
    max_in_flight: int | None
    weight: int
    created_at: Moment

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Show a plan."""
        return cls.model_validate(plan)


class NewTenant(RequestSchema):
    """A customer, the plan it bought and the models it may use; `["*"]` is every model."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "Acme", "plan_id": "plan_4fX0bQ2mZr8sT1Yk", "models": ["*"]}
        }
    )

    name: Name
    plan_id: Id
    models: Models


class TenantChange(RequestSchema):
    """What to change of a tenant; members that are absent stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "suspended"}})

    status: Literal["active", "suspended"] | None = None
    plan_id: Id | None = None
    models: Models | None = None

    @field_validator("status", "plan_id", "models", mode="before")
    @classmethod
    def _refuse_null(cls, value: object) -> object:
        if value is None:
            message = "must not be null; leave the member out to keep it as it is"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _refuse_nothing(self) -> Self:
        if not self.model_fields_set:
            message = "name at least one of status, plan_id and models"
            raise ValueError(message)
        return self


class TenantDocument(ResponseSchema):
    """A tenant."""

    tenant_id: str
    name: str
    plan_id: str | None
    models: list[str]
    status: Literal["active", "suspended", "deleted"]
    created_at: Moment
    deleted_at: Moment | None

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        """Show a tenant."""
        return cls.model_validate({**_fields(tenant, cls), "models": list(tenant.models)})


class KeyLimits(RequestSchema):
    """Limits of one key; where its tenant's plan has one as well, the stricter counts."""

    requests_per_second: RequestsPerSecond | None = None
    burst: Count | None = None


class NewKey(RequestSchema):
    """A key to issue: what it may do, until when, and whether its use is billed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "production", "scopes": ["predict", "models:read"]}}
    )

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=64)]
    expires_at: AwareDatetime | None = None
    test: bool = False
    limits: KeyLimits = KeyLimits()
    models: BoundModels | None = None
    networks: Networks | None = None

    @property
    def bindings(self) -> Bindings:
        """Say what the key is to be bound to."""
        return bindings_of(self.models, self.networks)


def bindings_of(models: list[str] | None, networks: list[str] | None) -> Bindings:
    """Read what a credential is to be bound to."""
    return Bindings(
        models=None if models is None else tuple(models),
        networks=None if networks is None else tuple(networks),
    )


class KeyRotation(RequestSchema):
    """How long the secrets that a key has now go on working beside the new one."""

    model_config = ConfigDict(json_schema_extra={"example": {"overlap_seconds": 86_400}})

    overlap_seconds: Overlap = 0


class KeyDocument(ResponseSchema):
    """An API key, without its secret."""

    key_id: str
    tenant_id: str
    name: str
    scopes: list[str]
    test: bool
    limits: KeyLimits
    models: list[str] | None
    networks: list[str] | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Show a key."""
        return cls.model_validate(_key_fields(key))


class IssuedKeyDocument(KeyDocument):
    """An API key with its secret, which is shown this once."""

    api_key: str = Field(repr=False)

    @classmethod
    def of_issued(cls, issued: IssuedKey) -> Self:
        """Show a key that was just made."""
        return cls.model_validate({**_key_fields(issued.key), "api_key": issued.api_key})


Item = TypeVar("Item", bound=ResponseSchema)


class Page(ResponseSchema, Generic[Item]):
    """A part of a list, in an order that does not change; `next` goes into `after`."""

    data: list[Item]
    next: str | None


class PlanPage(Page[PlanDocument]):
    """A part of the list of plans."""


class TenantPage(Page[TenantDocument]):
    """A part of the list of tenants."""


class KeyPage(Page[KeyDocument]):
    """A part of the list of a tenant's keys."""


def _fields(record: object, schema: type[BaseModel]) -> dict[str, object]:
    return {name: getattr(record, name) for name in schema.model_fields}


def _key_fields(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "test": key.is_test,
        "limits": KeyLimits(requests_per_second=key.requests_per_second, burst=key.burst),
        "models": None if key.models is None else list(key.models),
        "networks": None if key.networks is None else list(key.networks),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
