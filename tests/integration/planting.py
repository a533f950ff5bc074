"""Hand a server every kind of secret there is, rightly and wrongly, and keep what it answered."""

import base64
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from auth.api_keys import mint
from auth.totp import code_at
from tests.population import OAuthClient, make_client, make_plan, make_tenant
from tests.serving import Answer, Server
from tests.unit.auth.jwks import make_pair

PASSWORD = "nine purple teapots sang quietly"
WRONG_PASSWORD = "nine purple teapots sang loudly!"
USERNAME = "planter"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_STEP_SECONDS = 30


@dataclass
class Planted:
    """The secrets that a server was trusted with by name, and what it answered afterwards.

    The answers that show a secret on purpose are not among them.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    def tell(self, answer: Answer) -> Answer:
        """Keep an answer."""
        self.answers.append(answer)
        return answer


def plant_tokens(server: Server, planted: Planted) -> None:
    """Let clients get, use, misuse and give back tokens, by secret and by assertion."""
    tenant_id = make_tenant(server, make_plan(server))
    client = make_client(server, tenant_id)
    pair = make_pair("ES256")
    signer = make_client(server, tenant_id, jwks=pair.jwks(kid="planted"))
    planted.secrets["client secret"] = client.client_secret.rpartition("_")[2]
    basic = {"Authorization": _basic(client)} | _FORM
    token = _ask(server, "token", {"grant_type": "client_credentials"}, headers=basic).body[
        "access_token"
    ]
    planted.secrets["token"] = token
    planted.secrets["signature of a token"] = token.rpartition(".")[2]
    planted.tell(server.predict(token, server.demo["example"]))
    planted.tell(server.predict(token[:-2] + "~~", {}))
    planted.tell(server.call("GET", f"/v1/plans/{token}", key=token))
    planted.tell(server.call("GET", f"/v1/usage?access_token={token}"))
    for endpoint in ("introspect", "revoke"):
        planted.tell(_ask(server, endpoint, {"token": token}, headers=basic))
    planted.tell(_ask(server, "token", {"client_secret": client.client_secret}, headers=_FORM))
    now = int(time.time())
    claims = {"iss": signer.client_id, "sub": signer.client_id, "aud": f"{server.url}/oauth2/token"}
    assertion = pair.jws(claims | {"jti": "planted", "exp": now + 60}, kid="planted")
    planted.secrets["assertion"] = assertion
    proof = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
    grant = {"grant_type": "client_credentials"} | proof
    second = _ask(server, "token", grant, headers=_FORM).body["access_token"]
    planted.secrets["token by assertion"] = second
    planted.tell(_ask(server, "token", grant, headers=_FORM))


def plant_people(server: Server, planted: Planted) -> None:
    """Let an admin log in rightly and wrongly, with and without an authenticator."""
    admin_key = server.demo["admin_key"]
    wish = {"username": USERNAME, "password": PASSWORD, "scopes": ["tenants:read"]}
    admin = planted.tell(server.call("POST", "/v1/admins", key=admin_key, body=wish))
    assert admin.status == 201, admin.body
    planted.secrets |= {"password": PASSWORD, "wrong password": WRONG_PASSWORD}
    session = _log_in(server, PASSWORD)
    token = session.body["session_token"]
    planted.secrets["session token"] = token.rpartition("_")[2]
    planted.secrets["device token"] = session.body["device_token"]
    planted.tell(_log_in(server, WRONG_PASSWORD))
    planted.tell(server.call("GET", "/v1/sessions", key=token))
    path = f"/v1/admins/{admin.body['admin_id']}/totp"
    shown = server.call("POST", path, key=token, body={"current_password": PASSWORD})
    secret = shown.body["secret"]
    planted.secrets["secret of an authenticator"] = secret
    code = code_at(base64.b32decode(secret), int(time.time()) // _STEP_SECONDS)
    planted.secrets["one-time code"] = f'"{code}"'
    planted.tell(server.call("POST", f"{path}/confirm", key=token, body={"totp": code}))
    planted.tell(_log_in(server, PASSWORD, totp=code))
    bootstrap = mint(kind="boot").text
    planted.secrets["bootstrap token"] = bootstrap.rpartition("_")[2]
    planted.tell(server.call("POST", "/v1/admins", key=bootstrap, body=wish))


def plant_reports(server: Server, planted: Planted) -> None:
    """Report secrets as leaked, in a good form and in bad ones."""
    leaked = mint(kind="live").text
    planted.secrets["reported key"] = leaked.rpartition("_")[2]
    for body in ({"api_key": leaked}, {leaked: leaked}, {"api_key": [leaked]}, leaked.encode()):
        planted.tell(server.call("POST", "/v1/keys:report-leak", body=body))


def _log_in(server: Server, password: str, **members: str) -> Answer:
    body = {"username": USERNAME, "password": password} | members
    return server.call("POST", "/v1/sessions", body=body)


def _ask(server: Server, endpoint: str, form: dict[str, str], *, headers: dict[str, str]) -> Answer:
    return server.call(
        "POST", f"/oauth2/{endpoint}", body=urlencode(form).encode(), headers=headers
    )


def _basic(client: OAuthClient) -> str:
    pair = f"{client.client_id}:{client.client_secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
