"""Tell who calls, from memory alone.

Cost: one BLAKE2s and two dictionary look-ups for a key that was seen before; at first sight a
regular expression, a CRC-32 and an HMAC-SHA256 as well.
"""

import hmac
import math
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from auth.api_keys import KEY_CHARACTERS, parse
from auth.clients import CLIENT_ID_PREFIX
from auth.credentials import SESSION_PREFIX
from auth.digests import Digester, Renewal
from auth.entries import CredentialEntry, StoredSecret, check_usable
from auth.errors import CredentialInvalid
from auth.keyset import Keyset
from auth.principal import Principal
from auth.secret_files import VersionedSecret
from auth.seen import Seen
from auth.token_gate import PREFIX, TokenGate

_DIGEST_BYTES: Final = 32
_REMEMBERED_KEYS: Final = 16_384

_PREFIXES: Final = {"live": "", "test": "", "sess": SESSION_PREFIX}
"""Of the kinds of secrets that requests may carry, what their ids begin with.

Threat: the secret of an OAuth2 client, taken here, would skip the short life of its tokens.
"""

_OWNERS: Final = _PREFIXES | {"clnt": CLIENT_ID_PREFIX}
"""Of all kinds of secrets that belong to somebody, what their ids begin with."""


class _Proven(NamedTuple):
    """Say that a text is a secret of a credential, as long as the keyset has this entry of it."""

    entry: CredentialEntry
    secret: StoredSecret


class Authenticator:
    """Turn a credential into its principal.

    `now` gives epoch seconds. The keyset must be current: see `Keyset.refresh`.
    """

    def __init__(
        self,
        keyset: Keyset,
        *,
        pepper: VersionedSecret,
        tokens: TokenGate,
        now: Callable[[], float],
    ) -> None:
        """Answer from `keyset`; `pepper` is the one that its digests were made with."""
        self._keyset = keyset
        self._tokens = tokens
        self._digester = Digester(pepper)
        self._now = now
        self._last_used: dict[str, float] = {}
        self._outdated: dict[str, Renewal] = {}
        self._proven = Seen[_Proven](_REMEMBERED_KEYS)
        decoy = secrets.token_bytes(_DIGEST_BYTES)
        self._decoys = (StoredSecret(decoy, math.inf, self._digester.current),)

    def authenticate(self, credential: str) -> Principal:
        """Return the principal of a key or a token; the same object until something changes.

        Threat: an unknown key id that answered faster than a wrong secret would tell a guesser
        which ids exist, so both are digested and compared.

        Raises:
            CredentialInvalid: malformed, unknown, wrong, revoked or expired.
            TenantSuspended: the key is good, its tenant is suspended.
        """
        if credential.startswith(PREFIX):
            principal = self._tokens.authenticate(credential)
            self._last_used[principal.credential_id] = self._now()
            return principal
        digest = b""
        if len(credential) == KEY_CHARACTERS:
            digest = self._proven.digest(credential)
            proven = self._proven.find(digest)
            if proven is not None and self._is_in_force(proven.entry):
                return self._admit(proven, credential)
        key_id, kind, text = parse(credential)
        prefix = _PREFIXES.get(kind)
        if prefix is None:
            raise CredentialInvalid("not for requests")
        proven = self._prove(prefix + key_id, text)
        principal = self._admit(proven, text)
        self._proven.add(digest, proven)
        return principal

    def authenticate_client(self, client_id: str, secret: str) -> Principal:
        """Return an OAuth2 client by its secret: for the doors of clients, never for requests.

        Threat: as for a key; and what is no secret of this client is refused before any work.

        Raises:
            CredentialInvalid: malformed, unknown, wrong, revoked or expired.
            TenantSuspended: the client is good, its tenant is suspended.
        """
        key_id, kind, text = parse(secret)
        if kind != "clnt" or client_id != CLIENT_ID_PREFIX + key_id:
            raise CredentialInvalid("not a secret of this client")
        return self._admit(self._prove(client_id, text), text)

    def find_owner(self, secret: str) -> Principal | None:
        """Return whom a secret belongs to, whether it may still be used or not; None: nobody.

        It is no use of the credential, and grants nothing.
        """
        try:
            key_id, kind, text = parse(secret)
        except CredentialInvalid:
            return None
        prefix = _OWNERS.get(kind)
        entry = None if prefix is None else self._keyset.find(prefix + key_id)
        found = self._match(text, entry.secrets if entry else self._decoys)
        return entry.principal if entry is not None and found is not None else None

    def take_last_used(self) -> dict[str, datetime]:
        """Return when each key was last used since the last call, for `Store.touch_last_used`."""
        taken, self._last_used = self._last_used, {}
        return {key_id: datetime.fromtimestamp(at, UTC) for key_id, at in taken.items()}

    def take_renewals(self) -> list[Renewal]:
        """Return the digests of used secrets that are under an earlier pepper, each once."""
        taken, self._outdated = self._outdated, {}
        return list(taken.values())

    def _prove(self, credential_id: str, text: str) -> _Proven:
        """Find the secret of a credential that a text is.

        Raises:
            CredentialInvalid: there is none.
        """
        entry = self._keyset.find(credential_id)
        secret = self._match(text, entry.secrets if entry else self._decoys)
        if entry is None or secret is None:
            reason = "unknown key id" if entry is None else "wrong secret"
            raise CredentialInvalid(reason, is_unknown=True)
        return _Proven(entry, secret)

    def _is_in_force(self, entry: CredentialEntry) -> bool:
        """Say whether nothing changed about a credential since its entry was made."""
        return self._keyset.find(entry.principal.credential_id) is entry

    def _admit(self, proven: _Proven, text: str) -> Principal:
        """Let a credential be used now, and note that it was.

        Raises:
            CredentialInvalid: its secret was replaced, or it is revoked or has expired.
            TenantSuspended: its tenant is switched off.
        """
        entry, secret = proven
        now = self._now()
        if now >= secret.expires_at_seconds:
            raise CredentialInvalid("rotated")
        check_usable(entry, now=now)
        credential_id = entry.principal.credential_id
        if secret.pepper_version != self._digester.current:
            self._outdated[credential_id] = Renewal(
                credential_id, secret.digest, self._digester.digest(text)
            )
        self._last_used[credential_id] = now
        return entry.principal

    def _match(self, text: str, stored: tuple[StoredSecret, ...]) -> StoredSecret | None:
        """Return the secret that was offered; every comparison takes constant time."""
        version, offered = 0, b""
        for secret in stored:
            if secret.pepper_version != version:
                version = secret.pepper_version
                offered = self._digester.under(version, text)
            if hmac.compare_digest(secret.digest, offered):
                return secret
        return None
