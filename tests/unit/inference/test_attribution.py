"""The time of a run is split over its requests, to the microsecond."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.attribution import split_by_rows
from inference.batch_run import run_batch
from inference.compute_account import ComputeAccount, ComputeBill
from tests.unit.inference.fakes import POISON, DoublingRuntime, SummingRuntime, rows_of

rows_lists = st.lists(st.integers(min_value=0, max_value=5000), min_size=1, max_size=70)


@given(st.integers(min_value=0, max_value=10**10), rows_lists)
def test_parts_add_up_and_follow_the_rows(total: int, rows: list[int]) -> None:
    """No microsecond is lost or made, and each part is the exact share, rounded down or up."""
    parts = split_by_rows(total, rows)
    assert sum(parts) == total
    if any(rows):
        exact = [(total * weight // sum(rows), total * weight % sum(rows)) for weight in rows]
        for part, (down, remainder) in zip(parts, exact, strict=True):
            assert down <= part <= down + bool(remainder)


@given(st.integers(min_value=0, max_value=10**10), rows_lists)
def test_largest_remainders_are_rounded_up(total: int, rows: list[int]) -> None:
    """Nobody is rounded up whose remainder is smaller than that of one who is rounded down."""
    weights = rows if any(rows) else [1] * len(rows)
    parts = split_by_rows(total, rows)
    remainders = [total * weight % sum(weights) for weight in weights]
    is_up = [
        part > total * weight // sum(weights) for part, weight in zip(parts, weights, strict=True)
    ]
    up = [remainder for remainder, up in zip(remainders, is_up, strict=True) if up]
    down = [remainder for remainder, up in zip(remainders, is_up, strict=True) if not up]
    assert min(up, default=0) >= max(down, default=0) or not up


def test_shared_run_is_split_whole() -> None:
    """What the requests of a shared run have is all of it."""
    run = run_batch(DoublingRuntime(), [rows_of(1), rows_of(2, 3)], [1, 2])
    assert sum(run.parts_us) == run.compute_us


def test_run_in_vain_is_nobody_s() -> None:
    """Beside a poisonous row the others have the time that they ran alone, and no more."""
    runtime = DoublingRuntime()
    runtime.before_run = _work
    run = run_batch(runtime, [rows_of(1), rows_of(POISON)], [1, 1])
    assert 0 < sum(run.parts_us) < run.compute_us


def test_run_that_cannot_be_split_is_nobody_s() -> None:
    """The same where an output has no row for each row."""
    runtime = SummingRuntime()
    runtime.before_run = _work
    run = run_batch(runtime, [rows_of(1), rows_of(2)], [1, 1])
    assert 0 < sum(run.parts_us) < run.compute_us


def _work() -> None:
    """Take some microseconds."""
    np.sort(np.random.default_rng(0).random(20_000))


def test_first_word_on_a_bill_counts() -> None:
    """A caller who leaves while its record is written changes nothing after the write."""
    account = ComputeAccount()
    account.note_run(10, [10])
    bill = ComputeBill(account, 10)
    bill.settle(is_billed=True)
    bill.settle(is_billed=False)
    assert (account.billed_us, account.unbilled_us, account.open_us) == (10, 0, 0)


def test_warm_up_is_unbilled() -> None:
    """A run that is nobody's part is on nobody's bill."""
    account = ComputeAccount()
    account.note_run(7)
    assert (account.busy_us, account.unbilled_us) == (7, 7)
