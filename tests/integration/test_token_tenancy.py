"""A client learns nothing of another tenant's tokens and ends none of them (RFC 7009, RFC 7662)."""

import base64
import re
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.population import OAuthClient, make_client, make_plan, make_tenant
from tests.serving import Server
from tests.wire import send_raw, statuses

CANARY = "canary9b1e"
_VOLATILE = re.compile(rb"(?im)^(?:date|x-request-id):[^\r\n]*\r\n")


@dataclass(frozen=True)
class Pair:
    """A client that tries, another tenant's client, and a token of the other one."""

    server: Server
    curious: OAuthClient
    other: OAuthClient
    token: str

    def ask(self, client: OAuthClient, path: str, **form: str) -> bytes:
        """Send a form and return the whole answer, but for its time and its request id."""
        body = urlencode(form).encode()
        proof = base64.b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {proof}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return _VOLATILE.sub(b"", send_raw(self.server.port, head.encode() + body))


@pytest.fixture(scope="module")
def pair(server: Server) -> Pair:
    """Make two tenants with a client each, and issue the other one a token."""
    plan_id = make_plan(server)
    curious, other = (
        make_client(server, make_tenant(server, plan_id, name=name), name=name)
        for name in ("curious", CANARY)
    )
    unready = Pair(server, curious, other, "")
    issued = unready.ask(other, "/oauth2/token", grant_type="client_credentials")
    found = re.search(rb'"access_token":"([^"]+)"', issued)
    assert found is not None
    return Pair(server, curious, other, found[1].decode())


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
def test_token_of_another_tenant_is_as_if_it_never_existed(pair: Pair, path: str) -> None:
    """Byte for byte the answer to a token that nobody made, and nothing of the other in it."""
    header, claims, signature = pair.token.split(".")
    invented = ".".join((header, claims, signature[::-1]))
    real = pair.ask(pair.curious, path, token=pair.token)
    assert real == pair.ask(pair.curious, path, token=invented)
    assert statuses(real) == [200]
    for planted in (CANARY, pair.other.client_id, pair.other.tenant_id):
        assert planted.encode() not in real


def test_token_that_another_tenant_revoked_goes_on(pair: Pair) -> None:
    """The answer says done, as for any token, and nothing was done."""
    pair.ask(pair.curious, "/oauth2/revoke", token=pair.token)
    assert b'"active":true' in pair.ask(pair.other, "/oauth2/introspect", token=pair.token)
    assert pair.server.predict(pair.token, pair.server.demo["example"]).status == 200


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"])
def test_client_of_another_tenant_is_as_if_it_never_existed(pair: Pair, path: str) -> None:
    """With a wrong secret: which client ids there are is told to nobody."""
    form = {"grant_type": "client_credentials", "token": "none"}
    answers = [
        pair.ask(OAuthClient("", client_id, pair.curious.client_secret), path, **form)
        for client_id in (pair.other.client_id, "cli_" + "0" * 16)
    ]
    bodies = [re.sub(rb'"request_id":"[^"]*"', b"", answer) for answer in answers]
    assert bodies[0] == bodies[1]
    assert statuses(answers[0]) == [401]
