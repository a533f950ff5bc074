"""Tell which OAuth2 client speaks at the token endpoint, by its assertion (RFC 7523).

Clients with a secret are told by `Authenticator.authenticate_client`, from memory.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from auth.assertion_store import AssertionStore
from auth.assertions import CLOCK_SKEW_SECONDS, Assertion, parse_assertion
from auth.client_keys import ClientKey
from auth.entries import check_usable
from auth.errors import CredentialInvalid
from auth.keyset import Keyset
from auth.principal import Principal
from auth.token_text import encode_segment

_DECOY_MODULUS: Final = 2**2047 + 2**1024 + 1


class ClientGate:
    """Turn an assertion into its client. `now` gives epoch seconds; the keyset must be current."""

    def __init__(
        self,
        keyset: Keyset,
        store: AssertionStore,
        *,
        audiences: frozenset[str],
        now: Callable[[], float],
    ) -> None:
        self._keyset = keyset
        self._store = store
        self._audiences = audiences
        self._now = now
        self._decoys = {key.algorithm: key for key in _make_decoys()}

    def parse(self, text: str) -> Assertion:
        """Take an assertion apart, and check all that needs no key.

        Raises:
            CredentialInvalid: malformed, not for us, or too old.
        """
        return parse_assertion(text, audiences=self._audiences, now=self._now())

    async def authenticate(self, assertion: Assertion) -> Principal:
        """Return the client that signed an assertion, which is then used up.

        Threat: an unknown client, or an unknown key of a known one, that was refused sooner than a
        wrong signature would tell a guesser which there are. So each costs one look into SQL and
        one check of a signature.

        Raises:
            CredentialInvalid: an unknown client or key, a wrong signature, or the client is revoked
                or expired.
            AssertionReplayed: it was accepted before.
            TenantSuspended: the client is good, its tenant is suspended.
        """
        key = assertion.key_among(await self._store.read_assertion_keys(assertion.client_id))
        checked = key or self._decoys[assertion.algorithm]
        is_signed = checked.verify(assertion.signature, assertion.signed)
        entry = self._keyset.find(assertion.client_id)
        if key is None or entry is None or not is_signed:
            raise CredentialInvalid("assertion: unknown client or key, or wrong signature")
        check_usable(entry, now=self._now())
        ends_at = datetime.fromtimestamp(assertion.ends_at_seconds + CLOCK_SKEW_SECONDS, UTC)
        await self._store.use_assertion(assertion.client_id, assertion.token_id, expires_at=ends_at)
        return entry.principal


def _make_decoys() -> list[ClientKey]:
    """Make a key for each algorithm that costs what a real one does and belongs to nobody."""
    decoys = []
    for algorithm, curve in (("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1())):
        point = ec.derive_private_key(1, curve).public_key().public_numbers()
        number_bytes = curve.key_size // 8
        x, y = (encode_segment(value.to_bytes(number_bytes)) for value in (point.x, point.y))
        members = (("crv", f"P-{curve.key_size}"), ("kty", "EC"), ("x", x), ("y", y))
        decoys.append(ClientKey("decoy", algorithm, members))
    modulus = encode_segment(_DECOY_MODULUS.to_bytes(256))
    rsa_members = (("e", "AQAB"), ("kty", "RSA"), ("n", modulus))
    return [*decoys, ClientKey("decoy", "RS256", rsa_members)]
