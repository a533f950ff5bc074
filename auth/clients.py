"""OAuth2 clients of a tenant, as plain values (RFC 6749 section 2)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from auth.api_keys import KEY_ID_CHARACTERS, ParsedKey, mint
from auth.client_keys import ClientKey
from auth.credentials import Credential

CLIENT_ID_PREFIX: Final = "cli_"
CLIENT_ID_CHARACTERS: Final = len(CLIENT_ID_PREFIX) + KEY_ID_CHARACTERS

ClientAuthentication = Literal["client_secret", "private_key_jwt"]
"""How a client proves who it is: by a secret that we made, or by a key that it made itself."""


@dataclass(frozen=True, slots=True)
class Client:
    """Describe an OAuth2 client by all that is public about it; times are aware.

    A limit of None is no limit of its own. All tokens of a client count against its one limit.
    """

    client_id: str
    tenant_id: str
    name: str
    scopes: tuple[str, ...]
    authentication: ClientAuthentication
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_second: float | None
    burst: int | None
    may_exceed_plan: bool = False
    keys: tuple[ClientKey, ...] = ()
    """Public keys that count now; empty for a client with a secret."""
    models: tuple[str, ...] | None = None
    """Of the models granted to the tenant only these; None is all of them."""
    networks: tuple[str, ...] | None = None
    """Works from these networks only, in canonical CIDR form; None is from anywhere."""


@dataclass(frozen=True, slots=True)
class IssuedClient:
    """Carry a new client, or one with a new secret, to the one answer that shows the secret.

    Threat: a representation with the secret in it would end in a log; this one leaves it out.
    """

    client: Client
    client_secret: str | None = field(repr=False)
    """None for a client that signs with a key of its own."""


def client_id_of(secret: ParsedKey) -> str:
    """Return the id that a minted client secret belongs to."""
    return CLIENT_ID_PREFIX + secret.key_id


def mint_secret(client_id: str | None = None) -> ParsedKey:
    """Make a client secret; with `client_id`, another one for a client that exists."""
    if client_id is None:
        return mint(kind="clnt")
    return mint(kind="clnt", key_id=client_id.removeprefix(CLIENT_ID_PREFIX))


def credential_of_client(client: Client) -> Credential:
    """Look at a client as at any credential."""
    return Credential(
        credential_id=client.client_id,
        kind="client",
        tenant_id=client.tenant_id,
        scopes=client.scopes,
        expires_at=client.expires_at,
        revoked_at=client.revoked_at,
        requests_per_second=client.requests_per_second,
        burst=client.burst,
        may_exceed_plan=client.may_exceed_plan,
        models=client.models,
        networks=client.networks,
    )
