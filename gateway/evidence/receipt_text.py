"""Read a receipt as its holder does: an SD-JWT with one disclosure (RFC 9901 section 7.1).

No server is asked. What `gateway.usage.receipts` writes is read here by the standard alone.
"""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.evidence.receipt_keys import ReceiptKey
from gateway.usage.receipts import CLAIM, MEDIA_TYPE, digest_of

_NAME: Final = "tollgate-receipt"
_PATTERN: Final = re.compile(
    r"(?<![A-Za-z0-9_.-])([A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]{1,16384}\.[A-Za-z0-9_-]{86})"
    r"~([A-Za-z0-9_-]{1,8192})~(?![A-Za-z0-9_~-])"
)
_ALGORITHM: Final = "ES256"
_DISCLOSED: Final = 3  # salt, name, value
_MOST_REMEMBERED: Final = 64


class ReceiptInvalid(Exception):
    """A receipt that proves nothing; the reason is its text."""


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a genuine receipt says."""

    request_id: str
    occurred_at_us: int
    tenant_id: str
    model: str
    version: str
    rows: int
    units: int
    is_test: bool
    units_remaining: int | None = None
    """Of the tenant's month after the answer; None where it is unlimited."""


_TYPES: Final = {
    "request_id": str,
    "occurred_at_us": int,
    "tenant_id": str,
    "model": str,
    "version": str,
    "rows": int,
    "units": int,
    "is_test": bool,
}


@dataclass(frozen=True, slots=True)
class _Page:
    """The verified part that several receipts share."""

    digests: frozenset[str]


def is_about_receipt(line: str) -> bool:
    """Tell a line that should hold a receipt from another header, or none."""
    return _NAME in line.lower() or line.lstrip().startswith("eyJ")


def find_receipt(line: str) -> tuple[str, str] | None:
    """Find the receipt in a line: alone, as a captured header, or inside other text.

    Returns:
        its signed part and its disclosure; None if there is no whole one.
    """
    found = _PATTERN.search(line)
    return None if found is None else (found[1], found[2])


class ReceiptVerifier:
    """Verify receipts with known keys; those on one page share the check of its signature."""

    def __init__(self, keys: Mapping[str, ReceiptKey]) -> None:
        self._keys = keys
        self._pages: dict[str, _Page] = {}

    def verify(self, signed: str, disclosure: str) -> ReceiptFacts:
        """Return what a receipt says, if it is genuine.

        Raises:
            ReceiptInvalid: it is not, or cannot be checked with these keys.
        """
        page = self._pages.get(signed)
        if page is None:
            page = self._verified(signed)
            if len(self._pages) >= _MOST_REMEMBERED:
                del self._pages[next(iter(self._pages))]
            self._pages[signed] = page
        if digest_of(disclosure) not in page.digests:
            raise ReceiptInvalid("its facts are not those that were signed")
        return _read_facts(disclosure)

    def _verified(self, signed: str) -> _Page:
        """Check the signature (RFC 7515 section 5.2) and the date."""
        head, _, signature = signed.rpartition(".")
        header_text, _, payload_text = head.partition(".")
        header = _object(header_text)
        if header.get("alg") != _ALGORITHM or header.get("typ") != MEDIA_TYPE or "crit" in header:
            raise ReceiptInvalid("it is no receipt but something else that is signed")
        key = self._keys.get(str(header.get("kid")))
        if key is None:
            raise ReceiptInvalid("its key is not among those given")
        if not key.key.verify(_decode(signature), head.encode()):
            raise ReceiptInvalid("its signature is wrong")
        payload = _object(payload_text)
        digests, issued_at = payload.get("_sd"), payload.get("iat")
        if not isinstance(digests, list) or not isinstance(issued_at, int):
            raise ReceiptInvalid("it is no receipt but something else that is signed")
        if payload.get("_sd_alg", "sha-256") != "sha-256":
            raise ReceiptInvalid("its digests are of another kind")
        problem = key.problem_at(issued_at)
        if problem is not None:
            raise ReceiptInvalid(problem)
        return _Page(frozenset(map(str, digests)))


def _read_facts(disclosure: str) -> ReceiptFacts:
    try:
        disclosed = json.loads(_decode(disclosure))
    except ValueError:
        disclosed = None
    if not isinstance(disclosed, list) or len(disclosed) != _DISCLOSED or disclosed[1] != CLAIM:
        raise ReceiptInvalid("its disclosure is none of a receipt")
    facts = disclosed[2]
    if not isinstance(facts, dict) or any(
        type(facts.get(name)) is not kind for name, kind in _TYPES.items()
    ):
        raise ReceiptInvalid("its facts are not complete")
    remaining = facts.get("units_remaining")
    named = {name: facts[name] for name in _TYPES}
    return ReceiptFacts(**named, units_remaining=remaining if isinstance(remaining, int) else None)


def _object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(_decode(segment))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ReceiptInvalid("it is no receipt but something else that is signed")
    return found


def _decode(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
