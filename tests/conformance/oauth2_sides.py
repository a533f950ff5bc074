"""A server with OAuth2 clients of two tenants, and how each of them is refused."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.load import Caller
from tests.population import OAuthClient
from tests.serving import Answer, Server
from tests.unit.auth.jwks import Pair

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GRANT = {"grant_type": "client_credentials"}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Sides:
    """A server, and everybody who asks it."""

    server: Server
    client: OAuthClient
    colleague: OAuthClient
    stranger: OAuthClient
    signer: OAuthClient
    pair: Pair
    caller: Caller

    @property
    def issuer(self) -> str:
        """Name the server as its tokens do."""
        return self.server.url

    def send(self, endpoint: str, body: dict[str, Any] | str, **headers: str) -> Answer:
        """Send a form with these headers."""
        data = body if isinstance(body, str) else urlencode(body, doseq=True)
        given = FORM | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.call("POST", f"/oauth2/{endpoint}", body=data.encode(), headers=given)

    def ask(
        self, endpoint: str, body: dict[str, Any] | str, *, client: OAuthClient | None = None
    ) -> Answer:
        """Send a form with HTTP Basic."""
        return self.send(endpoint, body, Authorization=basic(client or self.client))

    def token(self, **members: object) -> str:
        """Get a token."""
        return str(self.ask("token", GRANT | members).body["access_token"])

    def claims(self, **changed: object) -> dict[str, Any]:
        """Return the claims of a good assertion; None drops one."""
        now = int(time.time())
        good = {
            "iss": self.signer.client_id,
            "sub": self.signer.client_id,
            "aud": f"{self.issuer}/oauth2/token",
            "jti": str(time.time_ns()),
            "exp": now + 60,
        } | changed
        return {name: value for name, value in good.items() if value is not None}

    def sign(self, claims: dict[str, Any] | None = None, **header: object) -> Answer:
        """Ask for a token with an assertion."""
        text = self.pair.jws(claims or self.claims(), **header)
        proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}
        return self.send("token", GRANT | proof)


def basic(client: OAuthClient) -> str:
    """Return the value of HTTP Basic."""
    pair = f"{client.client_id}:{client.client_secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def parts(token: str) -> list[dict[str, Any]]:
    """Read header and claims of a JWT, unverified."""
    segments = token.split(".")[:2]
    return [json.loads(base64.urlsafe_b64decode(item + "==")) for item in segments]


Refusal = Callable[[Sides], Answer]
REFUSALS: dict[str, tuple[int, str, Refusal]] = {
    "no grant (6749 5.2)": (400, "invalid_request", lambda s: s.ask("token", {})),
    "a parameter twice (6749 3.2)": (
        400,
        "invalid_request",
        lambda s: s.ask("token", "grant_type=client_credentials&scope=predict&scope=predict"),
    ),
    "the grant twice (6749 3.2)": (
        400,
        "invalid_request",
        lambda s: s.ask("token", {"grant_type": ["client_credentials"] * 2}),
    ),
    "no form (6749 3.2)": (
        400,
        "invalid_request",
        lambda s: s.send("token", json.dumps(GRANT), Content_Type="application/json"),
    ),
    "a broken escape (6749 B)": (
        400,
        "invalid_request",
        lambda s: s.ask("token", "grant_type=%"),
    ),
    "two proofs (6749 2.3)": (
        400,
        "invalid_request",
        lambda s: s.ask("token", GRANT | {"client_secret": s.client.client_secret}),
    ),
    "the password grant (6749 5.2)": (
        400,
        "unsupported_grant_type",
        lambda s: s.ask("token", {"grant_type": "password", "username": "a", "password": "b"}),
    ),
    "a code (6749 5.2)": (
        400,
        "unsupported_grant_type",
        lambda s: s.ask("token", {"grant_type": "authorization_code", "code": "x"}),
    ),
    "more scope than the client has (6749 5.2)": (
        400,
        "invalid_scope",
        lambda s: s.ask("token", GRANT | {"scope": "predict keys:write"}),
    ),
    "an unknown scope (6749 5.2)": (
        400,
        "invalid_scope",
        lambda s: s.ask("token", GRANT | {"scope": "unheard_of"}),
    ),
    "a malformed scope (6749 5.2)": (
        400,
        "invalid_scope",
        lambda s: s.ask("token", GRANT | {"scope": "predict  predict"}),
    ),
    "another resource (8707 2)": (
        400,
        "invalid_target",
        lambda s: s.ask("token", GRANT | {"resource": "https://other.example"}),
    ),
    "another resource too (8707 2)": (
        400,
        "invalid_target",
        lambda s: s.ask("token", GRANT | {"resource": [s.issuer, "https://other.example"]}),
    ),
    "no proof (6749 5.2)": (401, "invalid_client", lambda s: s.send("token", GRANT)),
    "an API key as a proof (6749 5.2)": (
        401,
        "invalid_client",
        lambda s: s.send("token", GRANT, Authorization=f"Bearer {s.caller.api_key}"),
    ),
    "a secret of another (6749 5.2)": (
        401,
        "invalid_client",
        lambda s: s.ask(
            "token",
            GRANT,
            client=OAuthClient("", s.client.client_id, s.stranger.client_secret),
        ),
    ),
    "no token to revoke (7009 2.1)": (400, "invalid_request", lambda s: s.ask("revoke", {})),
    "revocation by nobody (7009 2.1)": (
        401,
        "invalid_client",
        lambda s: s.send("revoke", {"token": "x"}),
    ),
    "no token to tell of (7662 2.1)": (400, "invalid_request", lambda s: s.ask("introspect", {})),
    "introspection by nobody (7662 2.1)": (
        401,
        "invalid_client",
        lambda s: s.send("introspect", {"token": "x"}),
    ),
    "introspection by a bearer (7662 2.3)": (
        401,
        "invalid_client",
        lambda s: s.send("introspect", {"token": "x"}, Authorization=f"Bearer {s.token()}"),
    ),
    "no issuer (7523 3)": (401, "invalid_client", lambda s: s.sign(s.claims(iss=None))),
    "no subject (7523 3)": (401, "invalid_client", lambda s: s.sign(s.claims(sub=None))),
    "another subject (7523 3)": (
        401,
        "invalid_client",
        lambda s: s.sign(s.claims(sub=s.client.client_id)),
    ),
    "no audience (7523 3)": (401, "invalid_client", lambda s: s.sign(s.claims(aud=None))),
    "another audience (7523 3)": (
        401,
        "invalid_client",
        lambda s: s.sign(s.claims(aud="https://other.example")),
    ),
    "no end (7523 3)": (401, "invalid_client", lambda s: s.sign(s.claims(exp=None))),
    "an end that is past (7523 3)": (
        401,
        "invalid_client",
        lambda s: s.sign(s.claims(exp=int(time.time()) - 1)),
    ),
    "no name (7523 3)": (401, "invalid_client", lambda s: s.sign(s.claims(jti=None))),
    "another key (7523 3)": (401, "invalid_client", lambda s: s.sign(kid="other")),
    "no signature (7523 3)": (401, "invalid_client", lambda s: s.sign(alg="none")),
    "another kind of assertion (7521 4.2)": (
        400,
        "invalid_request",
        lambda s: s.send("token", GRANT | {"client_assertion": "x", "client_assertion_type": "y"}),
    ),
}
