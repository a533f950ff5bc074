"""Tell who calls with an access token: its client as it is now, within the token's scopes.

Cost: a token that was seen before takes one BLAKE2s and four dictionary look-ups; the first sight
of one takes a signature.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from auth.entries import CredentialEntry, check_usable
from auth.errors import CredentialInvalid
from auth.keyset import Keyset
from auth.principal import Principal
from auth.seen import Seen
from auth.signing_keys import SigningKey
from auth.token_text import MAX_CHARACTERS
from auth.tokens import AccessClaims, TokenVerifier

PREFIX: Final = "eyJ"
"""What the text of every JWT begins with: `{"` in base64url."""

_CACHED_TOKENS: Final = 4096


@dataclass(slots=True)
class _SeenToken:
    """A verified token, and the principal that was last made of it."""

    claims: AccessClaims
    key: SigningKey | None
    base: Principal | None = None
    principal: Principal | None = None


class TokenGate:
    """Turn an access token into its principal. `now` gives epoch seconds.

    The keyset must be current, as for a key: then a token that was revoked, or whose client,
    tenant or signing key was switched off, is refused from the next request on.
    """

    def __init__(
        self,
        keyset: Keyset,
        verifier: TokenVerifier,
        *,
        now: Callable[[], float],
        most_cached: int = _CACHED_TOKENS,
    ) -> None:
        self._keyset = keyset
        self._verifier = verifier
        self._now = now
        self._seen = Seen[_SeenToken](most_cached)
        self._narrowed: dict[str, tuple[Principal, dict[frozenset[str], Principal]]] = {}

    def authenticate(self, text: str) -> Principal:
        """Return the principal of a token; the same object for the same client and scopes.

        Raises:
            CredentialInvalid: not a token of ours, expired, revoked, or its client is not good.
            TenantSuspended: the token is good, its tenant is suspended.
        """
        seen = self._verified(text)
        claims = seen.claims
        now = self._now()
        if now >= claims.expires_at:
            raise CredentialInvalid("token: expired")
        if claims.token_id in self._keyset.revoked_tokens:
            raise CredentialInvalid("token: revoked")
        entry = self._client(claims)
        check_usable(entry, now=now)
        if seen.principal is None or seen.base is not entry.principal:
            seen.base, seen.principal = entry.principal, self._narrow(entry.principal, claims)
        return seen.principal

    def _verified(self, text: str) -> _SeenToken:
        """Return what a token says; a key that was changed since is asked again."""
        if len(text) > MAX_CHARACTERS:
            raise CredentialInvalid("token: too long")
        digest = self._seen.digest(text)
        seen = self._seen.find(digest)
        if seen is not None and seen.key is self._keyset.ring.find(seen.claims.kid):
            return seen
        claims = self._verifier.verify(text)
        seen = _SeenToken(claims, self._keyset.ring.find(claims.kid))
        self._seen.add(digest, seen)
        return seen

    def _client(self, claims: AccessClaims) -> CredentialEntry:
        """Find the client that a token was issued to.

        Threat: were a token good for any kind of credential, it would outlive the key or the
        session whose id stands in it.
        """
        entry = self._keyset.find(claims.client_id)
        if entry is None:
            raise CredentialInvalid("token: unknown client", is_unknown=True)
        principal = entry.principal
        if principal.kind != "client" or principal.tenant_id != claims.tenant_id:
            raise CredentialInvalid("token: not of its client")
        return entry

    def _narrow(self, base: Principal, claims: AccessClaims) -> Principal:
        """Return the client's principal with no more scopes than the token has.

        Threat: a token from before a client lost a scope would go on having it.
        """
        scopes = base.scopes & claims.scopes
        if scopes == base.scopes:
            return base
        known = self._narrowed.get(claims.client_id)
        if known is None or known[0] is not base:
            known = self._narrowed[claims.client_id] = (base, {})
        return known[1].setdefault(scopes, replace(base, scopes=scopes))
