"""Have receipts written and signed, where the settings want them."""

import asyncio
import time

from auth.document_signer import DocumentSigner
from auth.keyset import Keyset
from auth.sealing import Sealer
from gateway.dataplane.receipts import WriteReceipt
from gateway.limits.limiter import Grant
from gateway.settings import Settings
from gateway.usage.receipts import MEDIA_TYPE, Receipt, ReceiptBook
from gateway.usage.record import UsageRecord


def open_desk(settings: Settings, keyset: Keyset, sealer: Sealer) -> WriteReceipt:
    """Return what makes the receipts of this server's answers."""
    signer = DocumentSigner(
        keyset.receipt_ring, media_type=MEDIA_TYPE, sealer=sealer, now=time.time
    )
    soon = asyncio.get_running_loop().call_soon
    book = ReceiptBook(settings.resolved_issuer, key=signer.key, soon=soon)

    def write_receipt(usage: UsageRecord, grant: Grant) -> Receipt | None:
        is_limited = grant.policy.units_per_month is not None
        remaining = grant.standing.month_remaining if is_limited else None
        return book.enter(usage, units_remaining=remaining)

    return write_receipt
