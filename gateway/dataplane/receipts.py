"""Hand the receipt of an answer to its caller: a header over HTTP, trailing metadata over gRPC."""

from collections.abc import Callable
from typing import Final

from gateway.limits.limiter import Grant
from gateway.usage.receipts import AnyReceipt, Receipt
from gateway.usage.record import UsageRecord

NAME: Final = b"tollgate-receipt"

WriteReceipt = Callable[[UsageRecord, Grant], Receipt | None]
"""Makes the receipt of a record that is about to be written; None where there are none."""


def write_no_receipt(_usage: UsageRecord, _grant: Grant) -> None:
    """Stand where answers have no receipts."""


def text_of(receipt: AnyReceipt | None) -> str:
    """Return the text of a receipt, signed now; empty where there is none."""
    return "" if receipt is None else receipt.text


def receipt_headers(receipt: AnyReceipt | None) -> list[tuple[bytes, bytes]]:
    """Return the header with a receipt, signed now if nobody else on its page asked before."""
    return [] if receipt is None else [(NAME, receipt.text.encode())]
