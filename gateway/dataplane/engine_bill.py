"""Say who pays for the engine's time that a request took: its tenant, or nobody."""

from inference.compute_account import ComputeBill


def waive(bill: ComputeBill | None) -> None:
    """Bill nobody for what never came to the record; None where it did."""
    if bill is not None:
        bill.settle(is_billed=False)


def settle(bill: ComputeBill, *, is_durable: bool) -> None:
    """Bill what a request has of the engine's time, if its record is on disk."""
    bill.settle(is_billed=is_durable)
