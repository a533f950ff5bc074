"""Tokens are signed and verified as RFC 9068 says, and as two other libraries do."""

from dataclasses import replace
from typing import Any

import jwt
import pytest
from joserfc import jwt as other_jwt
from joserfc.jwk import KeySet

from auth.errors import CredentialInvalid, SigningKeyMissing
from auth.keyset import Keyset
from auth.scopes import MODELS_READ, PREDICT
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.signing_keys import KeyRing
from auth.tokens import IssuedToken, TokenIssuer, TokenRules, TokenVerifier
from tests.actors import TESTER
from tests.tokens import RULES, Office
from tests.unit.auth.conftest import FakeClock

# What a token is worth does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CLIENT, TENANT = "cli_0123456789abcdef", "ten_0123456789abcdef"
SCOPES = (PREDICT, MODELS_READ)


@pytest.fixture
def verifier(office: Office) -> TokenVerifier:
    """Return what checks the server's tokens."""
    return office.verifier


@pytest.fixture
async def issued(office: Office) -> IssuedToken:
    """Return a token."""
    return await office.token(TENANT, CLIENT, *SCOPES)


async def test_token_is_verified_as_it_was_issued(
    issued: IssuedToken, verifier: TokenVerifier, clock: FakeClock
) -> None:
    """What a token says is what the issuer said."""
    claims = verifier.verify(issued.text)
    assert claims == issued.claims
    assert (claims.client_id, claims.subject, claims.tenant_id) == (CLIENT, CLIENT, TENANT)
    assert claims.scopes == set(SCOPES)
    assert claims.expires_at - claims.issued_at == RULES.lifetime_seconds
    assert claims.issued_at == int(clock.seconds())


async def test_token_has_the_form_of_the_profile(issued: IssuedToken) -> None:
    """RFC 9068 section 2: the type, the algorithm, and the claims with their types."""
    assert jwt.get_unverified_header(issued.text) == {
        "alg": "ES256",
        "kid": issued.claims.kid,
        "typ": "at+jwt",
    }
    claims = jwt.decode(issued.text, options={"verify_signature": False})
    assert {name: type(value) for name, value in claims.items()} == {
        "iss": str,
        "aud": str,
        "sub": str,
        "client_id": str,
        "tenant_id": str,
        "scope": str,
        "jti": str,
        "exp": int,
        "iat": int,
    }


async def test_two_tokens_have_two_ids(issued: IssuedToken, issuer: TokenIssuer) -> None:
    """Each can be revoked alone."""
    other = issuer.issue(client_id=CLIENT, tenant_id=TENANT, scopes=SCOPES)
    assert other.claims.token_id != issued.claims.token_id


async def test_representation_leaves_the_text_out(issued: IssuedToken) -> None:
    """A token in a log is a stolen token."""
    assert issued.text not in repr(issued)


async def test_token_is_refused_from_its_end_on(
    issued: IssuedToken, verifier: TokenVerifier, clock: FakeClock
) -> None:
    """The last second counts, the next does not."""
    clock.advance(RULES.lifetime_seconds - 1)
    verifier.verify(issued.text)
    clock.advance(1)
    with pytest.raises(CredentialInvalid, match="expired"):
        verifier.verify(issued.text)


@pytest.mark.parametrize(("seconds", "is_taken"), [(-10, True), (-11, False)])
async def test_clocks_may_be_a_little_apart(
    issued: IssuedToken, verifier: TokenVerifier, clock: FakeClock, *, seconds: int, is_taken: bool
) -> None:
    """A token that another server has just signed is taken; one of the future is not."""
    clock.advance(seconds)
    taken = True
    try:
        verifier.verify(issued.text)
    except CredentialInvalid:
        taken = False
    assert taken is is_taken


@pytest.mark.parametrize(
    "rules",
    [
        replace(RULES, issuer="https://other.example"),
        replace(RULES, audience="https://other.example"),
        replace(RULES, lifetime_seconds=RULES.lifetime_seconds - 1),
    ],
    ids=["issuer", "audience", "lifetime"],
)
async def test_token_for_another_server_is_refused(
    *, issued: IssuedToken, keyset: Keyset, clock: FakeClock, rules: TokenRules
) -> None:
    """The same key under another name, or for another purpose, is not enough."""
    other = TokenVerifier(keyset.ring, rules=rules, now=clock.seconds)
    with pytest.raises(CredentialInvalid):
        other.verify(issued.text)


async def test_token_of_an_unknown_key_may_be_of_another_machine(
    issued: IssuedToken, clock: FakeClock
) -> None:
    """It is worth a look into SQL, where another machine's key would be."""
    elsewhere = TokenVerifier(KeyRing(), rules=RULES, now=clock.seconds)
    with pytest.raises(CredentialInvalid) as refusal:
        elsewhere.verify(issued.text)
    assert refusal.value.is_unknown


async def test_nothing_is_signed_without_a_key(issuer: TokenIssuer) -> None:
    """The caller of the token endpoint may try again."""
    with pytest.raises(SigningKeyMissing):
        issuer.issue(client_id=CLIENT, tenant_id=TENANT, scopes=SCOPES)


async def test_nothing_is_signed_with_a_key_that_does_not_open(
    office: Office, clock: FakeClock
) -> None:
    """A sealing key that went missing is told as what it is, and checks of tokens go on."""
    await office.keyset.refresh()
    other = Sealer(VersionedSecret({1: b"another sealing key, which is long enough too"}))
    issuer = TokenIssuer(office.keyset.ring, rules=RULES, sealer=other, now=clock.seconds)
    with pytest.raises(SigningKeyMissing, match="does not open"):
        issuer.issue(client_id=CLIENT, tenant_id=TENANT, scopes=SCOPES)


async def test_tokens_of_a_retired_key_go_on_until_they_expire(
    issued: IssuedToken, office: Office, clock: FakeClock
) -> None:
    """A rotation refuses nobody."""
    clock.advance(5)
    await office.store.rotate_signing_key(actor=TESTER, at_once=True)
    fresh = await office.token(TENANT, CLIENT, *SCOPES)
    assert fresh.claims.kid != issued.claims.kid
    clock.advance(RULES.lifetime_seconds - 6)
    office.verifier.verify(issued.text)
    office.verifier.verify(fresh.text)


@pytest.mark.parametrize("form", ["PyJWT", "joserfc"])
async def test_accepted_token_is_accepted_by_others(
    office: Office, clock: FakeClock, form: str
) -> None:
    """A hundred tokens by the published key set; no quirk of ours is on our side alone."""
    accept = {"PyJWT": accepted_by_pyjwt, "joserfc": accepted_by_joserfc}[form]
    for _ in range(100):
        token = await office.token(TENANT, CLIENT, *SCOPES)
        keys = {"keys": office.keyset.ring.public_keys(clock.seconds())}
        assert accept(token.text, keys)["jti"] == token.claims.token_id


def accepted_by_pyjwt(token: str, keys: dict[str, Any]) -> dict[str, Any]:
    """Let PyJWT verify a token; the tests' clock is not its clock."""
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience=RULES.audience,
        issuer=RULES.issuer,
        options={
            "require": ["exp", "iat", "sub", "jti"],
            "verify_exp": False,
            "verify_iat": False,
        },
    )
    return claims


def accepted_by_joserfc(token: str, keys: dict[str, Any]) -> dict[str, Any]:
    """Let joserfc verify a token by the key set."""
    verified = other_jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"])  # type: ignore[arg-type]
    registry = other_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": RULES.issuer},
        aud={"essential": True, "value": RULES.audience},
        now=verified.claims["iat"],
    )
    registry.validate(verified.claims)
    return verified.claims
