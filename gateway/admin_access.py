"""Tell which operations on admins a caller may do: on itself, and on others.

A session stands for its admin. On others act platform credentials with `tenants:write`, within
their own scopes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from auth.actor import Actor, acting_principal
from auth.admins import Admin
from auth.api_keys import parse
from auth.errors import CredentialError, ScopeMissing, ScopeNotGrantable
from auth.principal import Principal
from auth.scopes import TENANTS_WRITE
from auth.tenants import PLATFORM_TENANT_ID
from gateway.credentials import extract_credential
from gateway.dependencies import Authenticated, Documented, Opened, principal

_BOOTSTRAP_MARK = "tg_boot_"


@dataclass(frozen=True, slots=True)
class AdminCaller:
    """A caller, and which admin it is, if it is a session."""

    principal: Principal
    admin_id: str | None

    def is_admin(self, admin_id: str) -> bool:
        """Tell whether the caller is this admin's session."""
        return self.admin_id == admin_id

    @property
    def may_administer(self) -> bool:
        """Whether the caller may act on other admins."""
        return TENANTS_WRITE in self.principal.scopes

    def require_power_over(self, admin: Admin) -> None:
        """Pass if the caller holds every scope of another admin.

        Threat: who could set the password of a more powerful admin would have its scopes.

        Raises:
            ScopeMissing: the caller may not act on admins at all.
            ScopeNotGrantable: the admin holds more than the caller.
        """
        self.principal.require(TENANTS_WRITE)
        self.require_held(admin.scopes)

    def require_held(self, scopes: tuple[str, ...]) -> None:
        """Pass if the caller holds the scopes that it wants to give.

        An admin is bound to no networks, so only who is bound to none either may make one.

        Raises:
            ScopeNotGrantable: it does not.
            BindingNotGrantable: the caller is bound to models or networks.
        """
        excess = frozenset(scopes) - self.principal.scopes
        if excess:
            raise ScopeNotGrantable(tuple(sorted(excess)))
        self.principal.require_grantable(scopes)


def require_self_or(*scopes: str) -> Callable[..., Awaitable[AdminCaller]]:
    """Make the dependency that lets sessions pass, and others who hold any of the scopes."""

    async def allowed(caller: Authenticated, opened: Opened) -> AdminCaller:
        if caller.kind != "session":
            if caller.scopes.isdisjoint(scopes):
                raise ScopeMissing(scopes[0])
            return AdminCaller(caller, None)
        session = await opened.store.get_session(caller.credential_id)
        return AdminCaller(caller, session.admin_id)

    return allowed


@dataclass(frozen=True, slots=True)
class AdminMaker:
    """Who makes an admin: a caller, or whoever has the bootstrap token."""

    caller: AdminCaller | None
    bootstrap: str | None = field(repr=False)
    actor: Actor


async def admin_maker(request: Request, opened: Opened, _documented: Documented) -> AdminMaker:
    """Let pass who may make admins; the bootstrap token opens this operation and no other.

    Raises:
        CredentialError: there is no credential, or not a good one.
        AddressLimited: the same, once too often for its address.
        ScopeMissing: the caller may not act on admins.
    """
    scope = request.scope
    try:
        credential = extract_credential(scope["headers"], scope["query_string"])
        if credential.startswith(_BOOTSTRAP_MARK):
            token = parse(credential)
            await opened.store.check_bootstrap(token.text)
            return AdminMaker(None, token.text, _bootstrap_actor(request, token.key_id))
    except CredentialError as error:
        raise opened.attempts.judge(scope, error) from None
    caller = await principal(request, opened, None)
    caller.require(TENANTS_WRITE)
    request_id: str = request.state.request_id
    actor = acting_principal(caller, request_id=request_id)
    return AdminMaker(AdminCaller(caller, None), None, actor)


def _bootstrap_actor(request: Request, token_id: str) -> Actor:
    request_id: str = request.state.request_id
    return Actor("bootstrap", token_id, PLATFORM_TENANT_ID, request_id)


Maker = Annotated[AdminMaker, Depends(admin_maker)]
