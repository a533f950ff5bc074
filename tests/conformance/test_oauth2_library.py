"""A stock OAuth2 library finds its way: Authlib against workers behind Nginx, over TLS.

Nothing is told to it but the issuer and its own credentials.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey

from tests.fronted import NO_ADDRESS_LIMITS
from tests.nginx_server import NginxServer
from tests.population import OAuthClient, make_client, make_plan, make_tenant
from tests.redis_server import running_redis
from tests.stack import Stack, running_stack
from tests.unit.auth.jwks import Pair, make_pair

REPLAYS = 16
MANY = "1000000"
"""Refusals: all of them come from one address here."""


@dataclass(frozen=True)
class Site:
    """The product as it is sold, and a tenant of it."""

    nginx: NginxServer
    stack: Stack
    tenant_id: str

    @property
    def issuer(self) -> str:
        """Name the server as its clients know it."""
        return self.nginx.url

    @property
    def authority(self) -> str:
        """Name the file of the authority that clients trust."""
        return str(self.nginx.certificates.authority)

    def discover(self) -> AuthorizationServerMetadata:
        """Read and check the metadata as RFC 8414 says."""
        url = get_well_known_url(self.issuer, external=True)
        answer = requests.get(url, verify=self.authority, timeout=60)
        metadata = AuthorizationServerMetadata(answer.json())
        metadata.validate()
        assert metadata["issuer"] == self.issuer
        return metadata

    def session(self, client: OAuthClient, method: str, secret: str | ECKey) -> OAuth2Session:
        """Open a session of the library."""
        methods = dict.fromkeys(
            ("token_endpoint_auth_method", "revocation_endpoint_auth_method"), method
        )
        session = OAuth2Session(client.client_id, secret, **methods)
        session.verify = self.authority
        session.trust_env = False  # a bundle that the machine names would win
        session.register_client_auth_method(PrivateKeyJWT(alg="ES256"))
        return session

    def predict(self, session: OAuth2Session) -> int:
        """Call a model with the token of the session."""
        url = f"{self.issuer}/v1/models/housing:predict"
        answer: requests.Response = session.post(url, json=self.stack.demo["example"])
        return answer.status_code


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run two workers with a Redis, and an Nginx before them."""
    folder = tmp_path_factory.mktemp("site")
    gateway = folder / "gateway"
    gateway.mkdir()
    nginx = NginxServer(folder, gateway / "http.sock", **NO_ADDRESS_LIMITS)
    with (
        running_redis(folder) as redis,
        running_stack(
            gateway, redis_url=redis.url, issuer=nginx.url, failed_attempts_per_minute=MANY
        ) as stack,
    ):
        nginx.start()
        tenant_id = make_tenant(stack, make_plan(stack))
        yield Site(nginx, stack, tenant_id)
        nginx.stop()


def signing_key(pair: Pair) -> ECKey:
    """Hand the library a private key as its owner keeps it."""
    pem = pair.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return ECKey.import_key(pem)


def use_until_revoked(site: Site, session: OAuth2Session) -> None:
    """Discover, get a token, call a model, revoke the token, be refused."""
    metadata = site.discover()
    assert session.token_endpoint_auth_method in metadata["token_endpoint_auth_methods_supported"]
    token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert token["token_type"] == "Bearer"
    assert site.predict(session) == 200
    told = session.introspect_token(metadata["introspection_endpoint"], token["access_token"])
    assert told.json()["active"] is True
    revoked = session.revoke_token(metadata["revocation_endpoint"], token["access_token"])
    assert revoked.status_code == 200
    assert {site.predict(session) for _ in range(REPLAYS)} == {401}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_library_with_a_secret(site: Site, method: str) -> None:
    """In the header and in the form."""
    client = make_client(site.stack, site.tenant_id)
    use_until_revoked(site, site.session(client, method, client.client_secret))


def test_library_that_signs(site: Site) -> None:
    """With the private key that only it knows, and an end that the library chooses."""
    pair = make_pair("ES256")
    client = make_client(site.stack, site.tenant_id, jwks=pair.jwks())
    use_until_revoked(site, site.session(client, "private_key_jwt", signing_key(pair)))


def test_library_is_told_of_a_wrong_secret(site: Site) -> None:
    """As the specification says, so that it understands."""
    client = make_client(site.stack, site.tenant_id)
    session = site.session(client, "client_secret_basic", "wrong")
    with pytest.raises(OAuthError, match="invalid_client"):
        session.fetch_token(f"{site.issuer}/oauth2/token", grant_type="client_credentials")


def test_library_is_told_of_a_scope_that_it_may_not_have(site: Site) -> None:
    """By the name of the error."""
    client = make_client(site.stack, site.tenant_id)
    session = site.session(client, "client_secret_basic", client.client_secret)
    with pytest.raises(OAuthError, match="invalid_scope"):
        session.fetch_token(
            f"{site.issuer}/oauth2/token",
            grant_type="client_credentials",
            scope="keys:write",
        )


def test_replayed_assertion_is_refused_by_every_worker(site: Site) -> None:
    """Whichever worker accepted it."""
    pair = make_pair("ES256")
    client = make_client(site.stack, site.tenant_id, jwks=pair.jwks())
    session = site.session(client, "private_key_jwt", signing_key(pair))
    url = f"{site.issuer}/oauth2/token"
    sent = []
    session.hooks["response"].append(lambda answer, **_: sent.append(answer.request.body))
    session.fetch_token(url, grant_type="client_credentials")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    statuses = [
        requests.post(
            url, data=sent[0], headers=headers, verify=site.authority, timeout=60
        ).status_code
        for _ in range(REPLAYS)
    ]
    assert statuses == [401] * REPLAYS
