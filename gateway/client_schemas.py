"""Say what the operations on OAuth2 clients take and give; `gateway/schemas.py` tells the rules."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.config import JsonDict

from auth.bindings import Bindings
from auth.client_keys import MAX_KEYS
from auth.clients import Client, IssuedClient
from gateway.schemas import (
    BoundModels,
    KeyLimits,
    Moment,
    Name,
    Networks,
    Overlap,
    Page,
    RequestSchema,
    ResponseSchema,
    ScopeName,
    bindings_of,
)

_EXAMPLE_KEY: JsonDict = {
    "kid": "2026-11",
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "alg": "ES256",
}


class JsonWebKeySet(RequestSchema):
    """Public keys of a client (RFC 7517): ES256, ES384, or RS256 of at least 2048 bits."""

    model_config = ConfigDict(json_schema_extra={"example": {"keys": [_EXAMPLE_KEY]}})

    keys: Annotated[list[dict[str, object]], Field(min_length=1, max_length=MAX_KEYS)]


class NewClient(RequestSchema):
    """An OAuth2 client to make; with `jwks` it signs (RFC 7523), else it gets a secret."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "nightly batch", "scopes": ["predict"]}}
    )

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=64)]
    expires_at: AwareDatetime | None = None
    limits: KeyLimits = KeyLimits()
    models: BoundModels | None = None
    networks: Networks | None = None
    jwks: JsonWebKeySet | None = None

    @property
    def bindings(self) -> Bindings:
        """Say what the client is to be bound to."""
        return bindings_of(self.models, self.networks)


class ClientRotation(RequestSchema):
    """How long the secrets or keys that a client has now go on beside the new ones."""

    model_config = ConfigDict(json_schema_extra={"example": {"overlap_seconds": 86_400}})

    overlap_seconds: Overlap = 0
    jwks: JsonWebKeySet | None = None


class ClientDocument(ResponseSchema):
    """An OAuth2 client, without its secret."""

    client_id: str
    tenant_id: str
    name: str
    scopes: list[str]
    authentication: Literal["client_secret", "private_key_jwt"]
    key_ids: list[str]
    """The `kid` of each public key that counts now."""
    limits: KeyLimits
    models: list[str] | None
    networks: list[str] | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None

    @classmethod
    def of(cls, client: Client) -> Self:
        """Show a client."""
        return cls.model_validate(_client_fields(client))


class IssuedClientDocument(ClientDocument):
    """An OAuth2 client with its secret, which is shown this once; null for one that signs."""

    client_secret: str | None = Field(repr=False)

    @classmethod
    def of_issued(cls, issued: IssuedClient) -> Self:
        """Show a client that was just made."""
        secret = {"client_secret": issued.client_secret}
        return cls.model_validate(_client_fields(issued.client) | secret)


class ClientPage(Page[ClientDocument]):
    """A part of the list of a tenant's OAuth2 clients."""


def _client_fields(client: Client) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "tenant_id": client.tenant_id,
        "name": client.name,
        "scopes": sorted(client.scopes),
        "authentication": client.authentication,
        "key_ids": [key.name for key in client.keys],
        "limits": KeyLimits(requests_per_second=client.requests_per_second, burst=client.burst),
        "models": None if client.models is None else list(client.models),
        "networks": None if client.networks is None else list(client.networks),
        "created_at": client.created_at,
        "expires_at": client.expires_at,
        "revoked_at": client.revoked_at,
        "last_used_at": client.last_used_at,
    }
