"""Who makes a change: what the audit log says of the one behind it."""

import os
import pwd
from dataclasses import dataclass
from typing import Final, Literal

from auth.principal import Principal
from auth.tenants import PLATFORM_TENANT_ID

ActorKind = Literal["api_key", "client", "session", "bootstrap", "command", "system", "anonymous"]
_NAME_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Name the one behind a change.

    Threat: a change that names nobody cannot be told from an intruder's, so every write of the
    store takes one.
    """

    kind: ActorKind
    credential_id: str
    """The public id of the credential; of a command the user of the operating system, of the
    system its part; empty for nobody.
    """
    tenant_id: str
    """Whose credential it is; empty for nobody."""
    request_id: str
    """As the access log says it; empty outside a request."""


def acting_principal(principal: Principal, *, request_id: str) -> Actor:
    """Return the actor of an authenticated request."""
    return Actor(principal.kind, principal.credential_id, principal.tenant_id, request_id)


def anonymous(*, request_id: str) -> Actor:
    """Return the actor of a request without a credential."""
    return Actor("anonymous", "", "", request_id)


def command() -> Actor:
    """Return the actor of a command: the user who runs it, by the number that the system knows.

    Threat: the environment names whomever the caller likes.
    """
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    shown = name.encode("ascii", "backslashreplace").decode()[:_NAME_CHARACTERS]
    return Actor("command", shown, PLATFORM_TENANT_ID, "")


def system(part: str) -> Actor:
    """Return the actor of what the server does of itself; `part` says which part of it."""
    return Actor("system", part, PLATFORM_TENANT_ID, "")
