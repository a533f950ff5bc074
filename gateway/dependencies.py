"""Hand routes what they work with: the services, the caller, a part of a list.

Every dependency is async: a synchronous one would be run in a thread for each request.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from auth.actor import Actor, acting_principal
from auth.errors import CredentialError, ScopeMissing, TenantNotFound
from auth.principal import Principal
from auth.scopes import DESCRIPTIONS
from gateway.addresses import source_of
from gateway.credentials import extract_credential
from gateway.observability.exchange import Exchange
from gateway.services import Services

MAX_PAGE_ITEMS = 200
DEFAULT_PAGE_ITEMS = 50

# These only describe the credential in the OpenAPI document; `extract_credential` reads it.
_bearer = HTTPBearer(auto_error=False, description="An API key as a bearer token")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key")
_client_credentials = OAuthFlowClientCredentials(
    tokenUrl="/oauth2/token", scopes=dict(sorted(DESCRIPTIONS.items()))
)
_oauth2 = OAuth2(
    flows=OAuthFlows(clientCredentials=_client_credentials),
    auto_error=False,
    description="An access token of an OAuth2 client",
)


async def services(request: Request) -> Services:
    """Return what the lifespan opened."""
    opened: Services = request.state.services
    return opened


Opened = Annotated[Services, Depends(services)]


async def describe_credential(
    _bearer: Annotated[object, Depends(_bearer)],
    _api_key: Annotated[object, Depends(_api_key)],
    _oauth2: Annotated[object, Depends(_oauth2)],
) -> None:
    """Tell the OpenAPI document which credentials an operation takes."""


Documented = Annotated[None, Depends(describe_credential)]


async def principal(request: Request, opened: Opened, _documented: Documented) -> Principal:
    """Authenticate the caller, from memory unless the catalogue changed.

    Threat: nothing tells this server of a key that was revoked on another one; a request of the
    control plane meets no limiter that would, so it asks SQL.

    Raises:
        CredentialInUrl, CredentialAmbiguous: the credential stands where it must not, or twice.
        CredentialError: there is none, or not a good one.
        AddressLimited: the same, once too often for its address.
        NetworkNotAllowed: the credential is bound to networks, and the request from elsewhere.
        TenantSuspended: the caller's tenant is switched off.
        KeysetUnavailable: the catalogue changed and cannot be read.
    """
    scope = request.scope
    try:
        credential = extract_credential(scope["headers"], scope["query_string"])
        if opened.settings.replicas > 1:
            await opened.keyset.confirm()
        source = partial(source_of, scope, trusts_proxy=opened.settings.trusts_proxy)
        caller = await opened.prediction.authenticate(credential, source)
    except CredentialError as error:
        raise opened.attempts.judge(scope, error) from None
    exchange: Exchange = request.state.exchange
    exchange.principal = caller
    return caller


Authenticated = Annotated[Principal, Depends(principal)]


async def acting(request: Request, caller: Authenticated) -> Actor:
    """Return who is behind the changes that this request makes."""
    return acting_principal(caller, request_id=request.state.request_id)


Acting = Annotated[Actor, Depends(acting)]


def require(*scopes: str) -> Callable[[Principal], Awaitable[Principal]]:
    """Make the dependency that lets a caller pass who holds any of `scopes`.

    It is the first dependency of its operation, so that nothing else about the request is looked
    at, or told, before the caller is known and allowed.
    """

    async def allowed(caller: Authenticated) -> Principal:
        if caller.scopes.isdisjoint(scopes):
            raise ScopeMissing(scopes[0])
        return caller

    return allowed


class PageQuery(BaseModel):
    """Which part of a list is wanted; a parameter that is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_]{1,64}$",
            description="`next` of the page before; absent for the first page",
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS, description="Most items in one page")] = (
        DEFAULT_PAGE_ITEMS
    )


Paged = Annotated[PageQuery, Query()]


class NoQuery(BaseModel):
    """No parameter at all, of an operation that answers with everything."""

    model_config = ConfigDict(extra="forbid")


Unqueried = Annotated[NoQuery, Query()]


def check_reach(caller: Principal, tenant_id: str) -> None:
    """Pass if the caller may touch what belongs to the tenant.

    Threat: an answer that told another tenant's id from an unknown one would list our customers.

    Raises:
        TenantNotFound: the tenant is another one, exactly as if it did not exist.
    """
    if not caller.may_act_for(tenant_id):
        raise TenantNotFound
