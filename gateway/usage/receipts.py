"""Receipts: what the server will put on the bill for an answer, signed, in the caller's hands.

A receipt is an SD-JWT with one disclosure (RFC 9901 section 4):

    issuer-signed JWT ~ disclosure ~

The disclosure holds the facts of one answer; the JWT holds its digest among those of the others
that were answered about the same time. So they share one signature, which costs more than all else
about a receipt, and of another none tells more than that it was. Any library for SD-JWT verifies
it; with one for JWS it takes one more line: base64url(SHA-256(disclosure)) is in `_sd`.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from secrets import token_bytes
from typing import Final, NamedTuple, Protocol

import orjson

from gateway.usage.record import UsageRecord

MEDIA_TYPE: Final = "tollgate-receipt+sd-jwt"
"""Tells a receipt from every other JWT (RFC 8725 section 3.11)."""

CLAIM: Final = "receipt"
PER_PAGE: Final = 16
"""Receipts that share a signature at most: each makes the others 62 characters longer."""

_SALT_BYTES: Final = 16  # RFC 9901 section 9.3
_SALTS_AT_ONCE: Final = 256
_SECOND_US: Final = 1_000_000


class Key(Protocol):
    """What signs a page."""

    def sign(self, payload: bytes) -> str:
        """Return the compact JWS around a payload."""


Soon = Callable[[Callable[[], object]], object]


def at_the_last_moment(_sign: Callable[[], object]) -> None:
    """Leave it to the first who asks for a signature."""


class _Page:
    """Receipts that share a signature, made when the first is asked for at the latest."""

    __slots__ = ("_digests", "_issuer", "_signed", "key")

    def __init__(self, key: Key, issuer: str) -> None:
        self.key = key
        self._issuer = issuer
        self._digests: list[str] = []
        self._signed = ""

    @property
    def is_open(self) -> bool:
        """Whether one more receipt has room."""
        return not self._signed and len(self._digests) < PER_PAGE

    def add(self, digest: str) -> None:
        """Have a receipt share the signature."""
        self._digests.append(digest)

    def signed(self, moment_us: int) -> str:
        """Return the page's JWT, dated by the first who asks for it."""
        if not self._signed:
            payload = {
                "_sd": sorted(self._digests),  # their order tells nothing of who came first
                "_sd_alg": "sha-256",
                "iat": moment_us // _SECOND_US,
                "iss": self._issuer,
            }
            self._signed = self.key.sign(orjson.dumps(payload))
        return self._signed


class AnyReceipt(Protocol):
    """A receipt, written now or kept from before."""

    @property
    def text(self) -> str:
        """The whole receipt."""


class KeptReceipt(NamedTuple):
    """A receipt that was handed out before."""

    text: str


class Receipt:
    """The receipt of one answer."""

    __slots__ = ("_disclosure", "_moment_us", "_page")

    def __init__(self, page: _Page, disclosure: str, moment_us: int) -> None:
        self._page = page
        self._disclosure = disclosure
        self._moment_us = moment_us

    @property
    def text(self) -> str:
        """The whole receipt; whoever shares its signature and is not in it yet is left out."""
        return f"{self._page.signed(self._moment_us)}~{self._disclosure}~"


class _Salts:
    """Random salts, many for one call of the system, which lets other threads go first."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self) -> str:
        """Return a salt that nobody has seen."""
        if self._at == len(self._pool):
            self._pool = token_bytes(_SALT_BYTES * _SALTS_AT_ONCE)
            self._at = 0
        at = self._at
        self._at += _SALT_BYTES
        return encoded(self._pool[at : self._at])


class ReceiptBook:
    """Write receipts, those between two answers on one page. For one event loop.

    A receipt is entered before its record is written and asked for after it, so while the disk
    works on one page's records the next page fills up: the more callers, the fewer signatures for
    each, and nobody waits for anything.
    """

    def __init__(
        self, issuer: str, *, key: Callable[[], Key], soon: Soon = at_the_last_moment
    ) -> None:
        """Sign in the name of `issuer`; `key` gives the key whose turn it is.

        `soon` calls something in the loop's next turn. A page is signed two turns after it was
        begun, when its first record is on its way to the disk, and the loop would wait for that.
        """
        self._issuer = issuer
        self._key = key
        self._soon = soon
        self._page: _Page | None = None
        self._salts = _Salts()

    def enter(self, record: UsageRecord, *, units_remaining: int | None) -> Receipt:
        """Make the receipt of a record that is about to be written.

        Args:
            record: as it goes to the journal.
            units_remaining: of the tenant's month after this answer; None where it is unlimited.

        Raises:
            Whatever `key` raises where there is none; nothing was billed then.
        """
        key, page = self._key(), self._page
        if page is None or page.key is not key or not page.is_open:
            page = self._page = _Page(key, self._issuer)
            self._soon(partial(self._soon, partial(page.signed, record.occurred_at_us)))
        facts = _facts(record, units_remaining)
        disclosure = encoded(orjson.dumps([self._salts.take(), CLAIM, facts]))
        page.add(digest_of(disclosure))
        return Receipt(page, disclosure, record.occurred_at_us)


def digest_of(disclosure: str) -> str:
    """Return the digest that stands in the JWT for a disclosure (RFC 9901 section 4.2.3)."""
    return encoded(sha256(disclosure.encode()).digest())


def encoded(content: bytes) -> str:
    """Write base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _facts(record: UsageRecord, units_remaining: int | None) -> dict[str, object]:
    return {
        "request_id": record.request_id,
        "occurred_at_us": record.occurred_at_us,
        "tenant_id": record.tenant_id,
        "model": record.model,
        "version": record.version,
        "rows": record.rows,
        "units": record.units,
        "is_test": record.is_test,
        "units_remaining": units_remaining,
    }
