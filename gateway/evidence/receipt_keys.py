"""Read the published keys of receipts, from a file or over HTTPS, and say what each is good for."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from auth.client_keys import ClientKey, read_keys
from auth.errors import InvalidChange
from gateway.addresses import is_loopback
from gateway.errors import EvidenceUnreadable

_SECONDS: Final = 30.0
_MAX_BYTES: Final = 16 * 1024 * 1024
_SKEW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """One public key, with the epoch seconds between which it signed."""

    key: ClientKey
    signed_from: int | None
    signed_until: int | None
    revoked_at: int | None

    def problem_at(self, issued_at: int) -> str | None:
        """Say why what the key signed is not to be believed, by its date; None if it is.

        Threat: whoever got hold of a key later could date new receipts with it, but not into the
        time before it was known to sign, and a revoked one is believed up to its revocation only.
        """
        if self.signed_from is not None and issued_at < self.signed_from - _SKEW_SECONDS:
            return "dated before its key signed"
        if self.signed_until is not None and issued_at > self.signed_until + _SKEW_SECONDS:
            return "dated after its key signed"
        if self.revoked_at is not None and issued_at >= self.revoked_at:
            return "signed with a key that was revoked"
        return None


def load_receipt_keys(source: str) -> dict[str, ReceiptKey]:
    """Read a JWK Set by file name or URL; the keys by their ids.

    Threat: over plain HTTP whoever stands between could put keys of his own in.

    Raises:
        EvidenceUnreadable: it cannot be had, is no key set, or the URL is not https.
    """
    content = _fetch(source) if "://" in source else Path(source).read_bytes()
    return read_key_set(content, source)


def read_key_set(content: bytes, source: str) -> dict[str, ReceiptKey]:
    """Read a JWK Set (RFC 7517 section 5) that comes from `source`.

    Raises:
        EvidenceUnreadable: it is none.
    """
    try:
        listed = json.loads(content)["keys"]
        found = [_read(jwk) for jwk in listed]
    except (ValueError, TypeError, KeyError, InvalidChange):
        raise EvidenceUnreadable(f"{source} is no set of public keys (RFC 7517)") from None
    return {key.key.name: key for key in found}


def _read(jwk: Mapping[str, Any]) -> ReceiptKey:
    [key] = read_keys({"keys": [jwk]})
    revoked = jwk.get("revoked", {}).get("revoked_at")
    return ReceiptKey(key, *map(_seconds, (jwk.get("iat"), jwk.get("exp"), revoked)))


def _seconds(value: object) -> int | None:
    return None if value is None else int(str(value))


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    is_here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not is_here:
        raise EvidenceUnreadable("--keys must be a file, https://..., or http:// on this machine")
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - checked above  # nosec B310
            return bytes(answer.read(_MAX_BYTES))
    except OSError as error:
        raise EvidenceUnreadable(f"{url} cannot be reached: {error}") from None
