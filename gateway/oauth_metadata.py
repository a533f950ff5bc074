"""Tell OAuth2 clients where everything is (RFC 8414), and which keys sign access tokens."""

from typing import Final, NamedTuple

from auth.client_keys import ALGORITHMS
from auth.scopes import ALL_SCOPES
from gateway.client_proof import METHODS

GRANT_TYPE: Final = "client_credentials"
CACHE_SECONDS: Final = 300  # a test holds it below `auth.signing_keys.PUBLISH_AHEAD`
"""How long copies of the public documents may be kept.

Threat: a copy of the key set that is older than a key is published ahead lacks the key that signs.
"""


class Endpoints(NamedTuple):
    """The URLs of one server."""

    token: str
    revocation: str
    introspection: str
    key_set: str


def endpoints(issuer: str) -> Endpoints:
    """Return the URLs below an issuer."""
    base = issuer.rstrip("/")
    return Endpoints(
        token=f"{base}/oauth2/token",
        revocation=f"{base}/oauth2/revoke",
        introspection=f"{base}/oauth2/introspect",
        key_set=f"{base}/.well-known/jwks.json",
    )


def audiences_of(issuer: str) -> frozenset[str]:
    """Return what an assertion may be for: the issuer, or the endpoint that libraries name."""
    places = endpoints(issuer)
    return frozenset({issuer, places.token, places.revocation, places.introspection})


def server_metadata(issuer: str) -> dict[str, object]:
    """Return the document of RFC 8414 section 2.

    There is no authorization endpoint: machines get tokens, people do not. Its response types must
    be told all the same, and an empty list must not: `none` is registered for what returns nothing.
    """
    places = endpoints(issuer)
    document: dict[str, object] = {
        "issuer": issuer,
        "token_endpoint": places.token,
        "revocation_endpoint": places.revocation,
        "introspection_endpoint": places.introspection,
        "jwks_uri": places.key_set,
        "scopes_supported": sorted(ALL_SCOPES),
        "response_types_supported": ["none"],
        "grant_types_supported": [GRANT_TYPE],
    }
    for place in ("token", "revocation", "introspection"):
        document[f"{place}_endpoint_auth_methods_supported"] = list(METHODS)
        document[f"{place}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return document
