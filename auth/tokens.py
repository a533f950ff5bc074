"""Sign and verify access tokens (RFC 9068). The one module that knows python-jose.

Threat: python-jose 3.5.0 passes an unknown `crit`, a wrong `typ`, absent `exp` and `aud`, claims
that stand twice and altered signature text, and recurses on a nested header. So it gets a token
only when nothing but the signature is left to check: of one form (`auth.token_text`), with one
algorithm, and with the key that the `kid` names among our own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

from auth.api_keys import random_base62
from auth.errors import CredentialInvalid, SealBroken, SigningKeyMissing
from auth.sealing import Sealer
from auth.signing_keys import (
    CLOCK_SKEW_SECONDS,
    KeyRing,
    SigningKey,
    private_jwk,
    sealing_context,
)
from auth.token_text import (
    ALGORITHM,
    TYPE,
    Claims,
    decode_segment,
    encode_segment,
    lower_signature,
    parse_claims,
    parse_token,
    write_claims,
)

_TOKEN_ID_CHARACTERS: Final = 22
_MAX_PREPARED: Final = 16


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified token says; times are epoch seconds."""

    subject: str
    client_id: str
    tenant_id: str
    scopes: frozenset[str]
    token_id: str
    issued_at: int
    expires_at: int
    kid: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """Carry a new token to the one answer that shows it."""

    text: str = field(repr=False)
    claims: AccessClaims


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Say whose tokens these are, for whom, and how long they live at most."""

    issuer: str
    audience: str
    lifetime_seconds: int


class TokenIssuer:
    """Sign tokens with the key whose turn it is. `now` gives epoch seconds."""

    def __init__(
        self, ring: KeyRing, *, rules: TokenRules, sealer: Sealer, now: Callable[[], float]
    ) -> None:
        self._ring = ring
        self._rules = rules
        self._sealer = sealer
        self._now = now
        self._prepared: tuple[str, Key] | None = None

    @property
    def lifetime_seconds(self) -> int:
        """How long a new token lives."""
        return self._rules.lifetime_seconds

    def issue(
        self, *, client_id: str, tenant_id: str, scopes: Iterable[str], audience: str | None = None
    ) -> IssuedToken:
        """Make a token for a client that has proved itself; the audience is ours by default.

        Cost: about 50 µs, once the private part is open.

        Raises:
            SigningKeyMissing: there is no key to sign with, or its private part does not open.
            ValueError: a value does not fit the form of a token.
        """
        now = self._now()
        key = self._ring.signing(now)
        if key is None:
            raise SigningKeyMissing("there is no key to sign tokens with")
        claims = Claims(
            issuer=self._rules.issuer,
            audience=self._rules.audience if audience is None else audience,
            subject=client_id,
            client_id=client_id,
            tenant_id=tenant_id,
            scope=" ".join(sorted(scopes)),
            token_id=random_base62(_TOKEN_ID_CHARACTERS),
            issued_at=int(now),
            expires_at=int(now) + self._rules.lifetime_seconds,
        )
        text = sign(write_claims(claims), kid=key.kid, key=self._private(key))
        return IssuedToken(text, _access(claims, key.kid))

    def _private(self, key: SigningKey) -> Key:
        """Return the key as python-jose wants it, opened once for each key."""
        if self._prepared is None or self._prepared[0] != key.kid:
            if key.sealed_private is None:
                raise SigningKeyMissing("the private part of the key is erased")
            try:
                scalar = self._sealer.open(key.sealed_private, sealing_context(key.kid))
            except SealBroken as error:
                raise SigningKeyMissing(f"the key does not open: {error}") from None
            prepared = jwk.construct(private_jwk(key.public_point, scalar), ALGORITHM)
            self._prepared = (key.kid, prepared)
        return self._prepared[1]


class TokenVerifier:
    """Check tokens, all of it from memory. `now` gives epoch seconds."""

    def __init__(self, ring: KeyRing, *, rules: TokenRules, now: Callable[[], float]) -> None:
        self._ring = ring
        self._rules = rules
        self._now = now
        self._prepared: dict[str, Key] = {}

    def verify(self, text: str) -> AccessClaims:
        """Return what a token says, if it is one of ours and good now.

        Cost: about 100 µs, nearly all of it the signature; `auth.token_gate` remembers.

        Raises:
            CredentialInvalid: anything at all is not as it should be.
        """
        token = parse_token(text)
        now = self._now()
        key = self._ring.find(token.kid)
        if key is None:
            raise CredentialInvalid("token: unknown key", is_unknown=True)
        if not self._ring.verifies(key.kid, now):
            raise CredentialInvalid("token: its key is gone")
        self._check_signature(text, key)
        claims = parse_claims(token.claims)
        self._check_claims(claims, now)
        if not key.may_have_signed(claims.issued_at):
            raise CredentialInvalid("token: dated when its key did not sign")
        return _access(claims, key.kid)

    def _check_signature(self, text: str, key: SigningKey) -> None:
        """Pass a signature by the key.

        Threat: whatever python-jose raises on a text that it should not have got must be a refusal
        like all others; its own errors, and the two that its use of base64 and JSON can raise, are.
        """
        try:
            jws.verify(text, self._public(key), [ALGORITHM])
        except (JOSEError, ValueError, TypeError):
            raise CredentialInvalid("token: signature") from None

    def _check_claims(self, claims: Claims, now: float) -> None:
        """Pass claims that are ours, for us and of now (RFC 9068 section 4)."""
        if claims.issuer != self._rules.issuer:
            raise CredentialInvalid("token: another issuer")
        if claims.audience != self._rules.audience:
            raise CredentialInvalid("token: another audience")
        if claims.subject != claims.client_id:
            raise CredentialInvalid("token: the subject is not the client")
        if claims.issued_at > now + CLOCK_SKEW_SECONDS:
            raise CredentialInvalid("token: from the future")
        if not 0 < claims.expires_at - claims.issued_at <= self._rules.lifetime_seconds:
            raise CredentialInvalid("token: lives too long")
        if now >= claims.expires_at:
            raise CredentialInvalid("token: expired")

    def _public(self, key: SigningKey) -> Key:
        prepared = self._prepared.get(key.kid)
        if prepared is None:
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            prepared = jwk.construct(key.jwk(), ALGORITHM)
            self._prepared[key.kid] = prepared
        return prepared


def sign(claims: bytes, *, kid: str, key: Key) -> str:
    """Write the text of a token around claims, in the one form that is accepted."""
    text: str = jws.sign(claims, key, headers={"kid": kid, "typ": TYPE}, algorithm=ALGORITHM)
    signed, _, signature = text.rpartition(".")
    return f"{signed}.{encode_segment(lower_signature(decode_segment(signature)))}"


def _access(claims: Claims, kid: str) -> AccessClaims:
    return AccessClaims(
        subject=claims.subject,
        client_id=claims.client_id,
        tenant_id=claims.tenant_id,
        scopes=frozenset(claims.scope.split(" ")),
        token_id=claims.token_id,
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        kid=kid,
    )
