"""One row for each MUST of the OAuth2 specifications that the server answers for.

Source: RFC 6749 (tokens), RFC 7009 (revocation), RFC 7662 (introspection), RFC 8414 (metadata),
RFC 7517 (keys), RFC 7523 (assertions), RFC 8707 (resources), RFC 9068 (access tokens).
"""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from auth.client_keys import ALGORITHMS
from auth.scopes import ALL_SCOPES
from tests.conformance.oauth2_sides import ASSERTION_TYPE, GRANT, REFUSALS, Sides, parts
from tests.population import OAuthClient, make_caller, make_client, make_plan, make_tenant
from tests.serving import Server, free_port
from tests.unit.auth.jwks import make_pair

_DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Run a server with clients of two tenants."""
    port = free_port()
    settings = {"TOLLGATE_ISSUER": f"http://127.0.0.1:{port}"}
    server = Server(tmp_path_factory.mktemp("oauth"), port, settings=settings)
    server.start()
    plan_id = make_plan(server)
    own, other = (make_tenant(server, plan_id) for _ in range(2))
    scopes = ["predict", "models:read"]
    pair = make_pair("ES256")
    yield Sides(
        server=server,
        client=make_client(server, own, scopes=scopes),
        colleague=make_client(server, own),
        stranger=make_client(server, other),
        signer=make_client(server, own, jwks=pair.jwks(kid="mine")),
        pair=pair,
        caller=make_caller(server, own),
    )
    server.stop()


def test_token_answer_has_what_it_must(sides: Sides) -> None:
    """RFC 6749, section 5.1: token, type, and no cache may keep it."""
    answer = sides.ask("token", GRANT)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert set(answer.body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (answer.body["token_type"], answer.body["scope"]) == ("Bearer", "models:read predict")


def test_scope_of_the_answer_is_what_was_granted(sides: Sides) -> None:
    """RFC 6749, section 3.3."""
    assert sides.ask("token", GRANT | {"scope": "predict"}).body["scope"] == "predict"


def test_access_token_is_of_its_type(sides: Sides) -> None:
    """RFC 9068, section 2: header, and every claim that is required."""
    header, claims = parts(sides.token())
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(claims)
    assert claims["iss"] == sides.issuer
    assert claims["sub"] == claims["client_id"] == sides.client.client_id
    assert claims["scope"] == "models:read predict"


def test_access_tokens_are_told_apart(sides: Sides) -> None:
    """RFC 9068, section 2.2: jti is unique."""
    assert len({parts(sides.token())[1]["jti"] for _ in range(5)}) == 5


def test_secret_may_stand_in_the_form(sides: Sides) -> None:
    """RFC 6749, section 2.3.1: client_secret_post."""
    proof = {"client_id": sides.client.client_id, "client_secret": sides.client.client_secret}
    assert sides.send("token", GRANT | proof).status == 200


def test_halves_of_basic_are_decoded(sides: Sides) -> None:
    """RFC 6749, section 2.3.1: application/x-www-form-urlencoded within."""
    client = sides.client
    encoded = OAuthClient(
        client.tenant_id, client.client_id.replace("_", "%5F"), client.client_secret
    )
    assert sides.ask("token", GRANT, client=encoded).status == 200


def test_unknown_parameters_are_ignored(sides: Sides) -> None:
    """RFC 6749, section 3.2; and those without a value count as not sent."""
    assert sides.ask("token", GRANT | {"unheard_of": "x", "scope": ""}).status == 200


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_told_as_it_must(sides: Sides, case: str) -> None:
    """RFC 6749, section 5.2: the status, the name, and characters that a description may have."""
    status, name, refuse = REFUSALS[case]
    answer = refuse(sides)
    assert (answer.status, answer.body["error"]) == (status, name)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert _DESCRIPTION.fullmatch(answer.body["error_description"])
    assert answer.body["request_id"] == answer.headers["x-request-id"]
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_parameters_in_the_url_are_refused(sides: Sides) -> None:
    """RFC 6749, section 2.3.1: the secret must not stand there."""
    client = sides.client
    query = urlencode({"client_id": client.client_id, "client_secret": client.client_secret})
    answer = sides.send(f"token?{query}", GRANT)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


def test_token_endpoint_takes_post_alone(sides: Sides) -> None:
    """RFC 6749, section 3.2."""
    answer = sides.server.call("GET", "/oauth2/token")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_form_without_end_is_refused(sides: Sides) -> None:
    """Before it is parsed."""
    assert sides.ask("token", "a" * 20_000).status == 413


def test_client_that_signs_is_believed_once(sides: Sides) -> None:
    """RFC 7523, section 3: the name of an assertion is good for one use."""
    claims = sides.claims()
    assert sides.sign(claims).status == 200
    assert sides.sign(claims, kid="mine").status == 401


def test_issuer_may_be_the_audience_of_an_assertion(sides: Sides) -> None:
    """RFC 7523, section 3."""
    assert sides.sign(sides.claims(aud=sides.issuer)).status == 200


def test_client_may_be_named_beside_its_assertion(sides: Sides) -> None:
    """RFC 7521, section 4.2: as the same, or not at all."""
    for named, status in ((sides.signer, 200), (sides.client, 401)):
        proof = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sides.pair.jws(sides.claims()),
            "client_id": named.client_id,
        }
        assert sides.send("token", GRANT | proof).status == status


def test_resource_names_the_audience(sides: Sides) -> None:
    """RFC 8707, section 2: more than once, if all are served."""
    token = sides.token(resource=[sides.issuer, sides.issuer])
    assert parts(token)[1]["aud"] == sides.issuer


def test_revoked_token_is_good_for_nothing(sides: Sides) -> None:
    """RFC 7009, sections 2 and 2.2: at once, and the answer is the same a second time."""
    token = sides.token()
    assert sides.server.call("GET", "/v1/models", key=token).status == 200
    for _ in range(2):
        form = {"token": token, "token_type_hint": "access_token"}
        assert sides.ask("revoke", form).status == 200
    assert sides.server.call("GET", "/v1/models", key=token).status == 401


@pytest.mark.parametrize("hint", ["refresh_token", "unheard_of"])
def test_hint_is_no_more_than_that(sides: Sides, hint: str) -> None:
    """RFC 7009, section 2.1: a wrong one changes nothing."""
    token = sides.token()
    assert sides.ask("revoke", {"token": token, "token_type_hint": hint}).status == 200
    assert sides.server.call("GET", "/v1/models", key=token).status == 401


def test_unknown_token_is_as_good_as_revoked(sides: Sides) -> None:
    """RFC 7009, section 2.2."""
    assert sides.ask("revoke", {"token": "unheard of"}).status == 200


def test_nobody_revokes_the_token_of_another(sides: Sides) -> None:
    """RFC 7009, section 2.1."""
    token = sides.token()
    for other in (sides.colleague, sides.stranger):
        sides.ask("revoke", {"token": token}, client=other)
    assert sides.server.call("GET", "/v1/models", key=token).status == 200


def test_active_token_is_told_of(sides: Sides) -> None:
    """RFC 7662, section 2.2: as the token itself says."""
    token = sides.token(scope="predict")
    _, claims = parts(token)
    told = sides.ask("introspect", {"token": token}, client=sides.colleague).body
    assert told.pop("active") is True
    assert told.pop("token_type") == "Bearer"
    assert told == claims


@pytest.mark.parametrize("token", ["unheard of", "a.b.c", "e30.e30.e30"])
def test_token_that_is_none_is_not_active(sides: Sides, token: str) -> None:
    """RFC 7662, section 2.2: no error, and no reason."""
    answer = sides.ask("introspect", {"token": token})
    assert (answer.status, answer.body) == (200, {"active": False})


def test_token_of_another_tenant_is_not_active(sides: Sides) -> None:
    """RFC 7662, section 4."""
    answer = sides.ask("introspect", {"token": sides.token()}, client=sides.stranger)
    assert answer.body == {"active": False}


def test_introspection_is_kept_by_nobody(sides: Sides) -> None:
    """What is told is true now."""
    answer = sides.ask("introspect", {"token": sides.token()})
    assert answer.headers["cache-control"] == "no-store"


def test_metadata_has_what_it_must(sides: Sides) -> None:
    """RFC 8414, sections 2 and 3.2: without a credential, and each place is under the issuer."""
    answer = sides.server.call("GET", "/.well-known/oauth-authorization-server")
    assert answer.headers["content-type"] == "application/json"
    document = answer.body
    assert document["issuer"] == sides.issuer
    assert document["response_types_supported"] == ["none"]
    assert "authorization_endpoint" not in document
    assert [] not in document.values()
    assert document["grant_types_supported"] == ["client_credentials"]
    assert set(document["scopes_supported"]) == ALL_SCOPES
    for place in ("token", "revocation", "introspection"):
        assert document[f"{place}_endpoint"].startswith(f"{sides.issuer}/oauth2/")
        methods = document[f"{place}_endpoint_auth_methods_supported"]
        assert methods == ["client_secret_basic", "client_secret_post", "private_key_jwt"]
        algorithms = document[f"{place}_endpoint_auth_signing_alg_values_supported"]
        assert algorithms == list(ALGORITHMS)
        assert "none" not in algorithms


def test_published_keys_are_public_and_named(sides: Sides) -> None:
    """RFC 7517, section 5; RFC 8414, section 2: each says its use; none has a private member."""
    metadata = sides.server.call("GET", "/.well-known/oauth-authorization-server").body
    path = metadata["jwks_uri"].removeprefix(sides.issuer)
    answer = sides.server.call("GET", path)
    assert "max-age" in answer.headers["cache-control"]
    keys = answer.body["keys"]
    assert parts(sides.token())[0]["kid"] in {key["kid"] for key in keys}
    for key in keys:
        assert (key["use"], key["alg"], key["kty"]) == ("sig", "ES256", "EC")
        assert not {"d", "k", "p", "q"} & set(key)
