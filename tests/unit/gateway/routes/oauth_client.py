"""OAuth2 clients that talk to the app under test."""

import base64
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import httpx

from auth.api_keys import random_base62
from gateway.client_proof import ASSERTION_TYPE
from tests.unit.auth.jwks import Pair, make_pair
from tests.unit.gateway.routes.control_plane import Caller

ISSUER = "http://127.0.0.1:8000"
GRANT = {"grant_type": "client_credentials"}
Form = dict[str, Any]


@dataclass(frozen=True)
class OAuthClient:
    """A client that was just made, and the keys that it signs with, if it does."""

    http: httpx.AsyncClient
    tenant_id: str
    client_id: str
    client_secret: str = ""
    pair: Pair | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def basic(self) -> dict[str, str]:
        """Return the header of HTTP Basic."""
        return basic(self.client_id, self.client_secret)

    @property
    def post(self) -> Form:
        """Return the form's members with the secret."""
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    def claims(self, **changed: object) -> Form:
        """Return the claims of an assertion that is good; None drops a claim."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": f"{ISSUER}/oauth2/token",
            "jti": random_base62(22),
            "iat": now,
            "exp": now + 60,
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, claims: object = None, **header: object) -> Form:
        """Return the form's members with an assertion."""
        assert self.pair is not None
        text = self.pair.jws(self.claims() if claims is None else claims, **header)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}

    async def ask(self, endpoint: str, form: Form | None = None, **proof: object) -> httpx.Response:
        """Send a form with HTTP Basic, or with the members given instead."""
        headers = {} if proof else self.basic
        return await send(self.http, endpoint, (form or {}) | proof, **headers)

    async def token(self, **members: object) -> str:
        """Get an access token."""
        answer = await self.ask("token", GRANT | members)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return the header of HTTP Basic, both halves form-urlencoded (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


async def send(
    http: httpx.AsyncClient, endpoint: str, form: Form | bytes, **headers: str
) -> httpx.Response:
    """Send a form, or bytes that may be none."""
    path = f"/oauth2/{endpoint}"
    if isinstance(form, bytes):
        media = {"Content-Type": "application/x-www-form-urlencoded"}
        return await http.post(path, content=form, headers=media | headers)
    return await http.post(path, data=form, headers=headers)


async def make_client(
    caller: Caller, *scopes: str, algorithm: str = "", **members: object
) -> OAuthClient:
    """Make a client of the caller's tenant; with an algorithm, one that signs."""
    wish = {"name": "machine", "scopes": list(scopes or ("predict",)), **members}
    pair = make_pair(algorithm) if algorithm else None
    if pair is not None:
        wish["jwks"] = pair.jwks(kid="mine")
    answer = await caller.post(f"/v1/tenants/{caller.tenant_id}/clients", wish)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made["client_secret"] or ""
    return OAuthClient(caller.client, caller.tenant_id, made["client_id"], secret, pair)


async def status_with(http: httpx.AsyncClient, token: str) -> int:
    """Read the models with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await http.get("/v1/models", headers=headers)).status_code
