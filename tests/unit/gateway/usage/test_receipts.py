"""Receipts as they are written: a standard form, one signature for those of the same time."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt
from joserfc import jws
from joserfc.jwk import ECKey

from gateway.usage.receipts import PER_PAGE, ReceiptBook
from tests.receipt_books import ISSUER, OCCURRED_US, make_notary, usage


def disclosed(receipt: str) -> Any:  # noqa: ANN401 - any JSON
    """Read the disclosure of a receipt."""
    text = receipt.split("~")[1]
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_receipt_says_what_goes_on_the_bill() -> None:
    """Every fact is that of the record, and the salt is new each time."""
    book = make_notary().book()
    salt, name, facts = disclosed(book.enter(usage("a"), units_remaining=997).text)
    assert (len(salt), name) == (22, "receipt")
    assert facts == {
        "request_id": "a",
        "occurred_at_us": OCCURRED_US,
        "tenant_id": "tenant",
        "model": "housing",
        "version": "2",
        "rows": 1,
        "units": 3,
        "is_test": False,
        "units_remaining": 997,
    }
    assert disclosed(book.enter(usage("a"), units_remaining=None).text)[0] != salt


def test_two_libraries_verify_a_receipt() -> None:
    """With a stock JOSE library and one line for the digest, as docs/billing.md says."""
    notary = make_notary()
    signed, disclosure, rest = notary.receipt("a").split("~")
    jwk = notary.published.jwk()
    verified = jws.deserialize_compact(
        signed, ECKey.import_key(dict(jwk.items())), algorithms=["ES256"]
    )
    claims = jwt.decode(signed, jwt.PyJWK(jwk), algorithms=["ES256"], options={"verify_iat": False})
    assert json.loads(verified.payload or b"") == claims
    assert verified.headers()["typ"] == "tollgate-receipt+sd-jwt"
    digest = urlsafe_b64decode(claims["_sd"][0] + "=")
    assert (digest, rest) == (sha256(disclosure.encode()).digest(), "")
    assert (claims["iss"], claims["iat"]) == (ISSUER, OCCURRED_US // 1_000_000)


def test_receipts_of_the_same_time_share_a_signature() -> None:
    """Each holds its own facts alone, and the digests of the others."""
    book = make_notary().book()
    entered = [book.enter(usage(str(number)), units_remaining=None) for number in range(3)]
    texts = [receipt.text for receipt in entered]
    assert len({text.split("~")[0] for text in texts}) == 1
    assert [disclosed(text)[2]["request_id"] for text in texts] == ["0", "1", "2"]


def test_page_is_closed_by_the_first_who_asks() -> None:
    """Who comes later is not in what was signed, so its receipt has another signature."""
    book = make_notary().book()
    first = book.enter(usage("a"), units_remaining=None).text
    second = book.enter(usage("b"), units_remaining=None).text
    assert first.split("~")[0] != second.split("~")[0]


def test_page_is_signed_while_its_first_record_is_written() -> None:
    """Two turns of the loop after it was begun, by when all who came together are on it."""
    turns: list[Callable[[], object]] = []
    book = make_notary().book(soon=turns.append)
    entered = [book.enter(usage(name), units_remaining=None) for name in "ab"]
    page = book._page
    assert page is not None
    for _ in range(2):
        assert page.is_open
        turns.pop()()
    assert not page.is_open
    assert turns == []
    entered.append(book.enter(usage("c"), units_remaining=None))
    assert len({receipt.text.split("~")[0] for receipt in entered}) == 2


def test_page_has_room_for_so_many() -> None:
    """Else a receipt would grow with the number of callers."""
    book = make_notary().book()
    entered = [book.enter(usage(str(n)), units_remaining=None) for n in range(PER_PAGE + 1)]
    assert len({receipt.text.split("~")[0] for receipt in entered}) == 2


def test_page_ends_with_its_key() -> None:
    """A key that signs no more gets no new receipts, whoever still waits for the old ones."""
    keys = [make_notary().key, make_notary().key]
    book = ReceiptBook(ISSUER, key=lambda: keys[0])
    old = book.enter(usage("a"), units_remaining=None)
    del keys[0]
    new = book.enter(usage("b"), units_remaining=None)
    kids = [
        jws.extract_compact(receipt.text.split("~")[0].encode()).headers()["kid"]
        for receipt in (old, new)
    ]
    assert kids[0] != kids[1] == keys[0].kid
