"""Receipts and keys of receipts beside a server."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from auth.document_signer import OpenKey
from auth.signing_keys import Purpose, SigningKey, generate_key_pair
from gateway.usage.receipts import MEDIA_TYPE, ReceiptBook, Soon, at_the_last_moment
from gateway.usage.record import UsageRecord

ISSUER = "https://tollgate.example"
SIGNED_FROM = datetime(2026, 11, 1, tzinfo=UTC)
OCCURRED_US = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class Notary:
    """A key of receipts, and what writes them with it."""

    key: OpenKey
    published: SigningKey

    def book(self, soon: Soon = at_the_last_moment) -> ReceiptBook:
        """Return an empty book."""
        return ReceiptBook(ISSUER, key=lambda: self.key, soon=soon)

    def receipt(self, request_id: str, **members: object) -> str:
        """Write one receipt, alone on its page."""
        return self.book().enter(usage(request_id, **members), units_remaining=None).text


def make_notary(*, media_type: str = MEDIA_TYPE, revoked_at: datetime | None = None) -> Notary:
    """Make a key that signs since the beginning of the month."""
    pair = generate_key_pair()
    scalar = int.from_bytes(pair.private_scalar, "big")
    key = OpenKey(pair.kid, ec.derive_private_key(scalar, ec.SECP256R1()), media_type=media_type)
    published = SigningKey(
        kid=pair.kid,
        public_point=pair.public_point,
        sealed_private=None,
        created_at=SIGNED_FROM,
        signs_from=SIGNED_FROM,
        signs_until=None,
        revoked_at=revoked_at,
        purpose=Purpose.RECEIPT,
    )
    return Notary(key, published)


def usage(request_id: str, **members: object) -> UsageRecord:
    """Return a record of one row by model 2 of `housing`, unless `members` say otherwise."""
    record = UsageRecord(
        request_id=request_id,
        occurred_at_us=OCCURRED_US,
        tenant_id="tenant",
        key_id="key",
        model="housing",
        version="2",
        protocol="v1",
        rows=1,
        units=3,
        is_test=False,
        queue_us=0,
        compute_us=0,
        bytes_in=0,
        bytes_out=0,
    )
    return record._replace(**members)  # type: ignore[arg-type]
