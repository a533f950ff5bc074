"""Estimates against published examples, and their sums over workers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.estimates import (
    Clusters,
    Durations,
    Estimate,
    Moments,
    difference_of_means,
    difference_of_shares,
    share_of,
)

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=40)


def moments_of(values: list[float]) -> Moments:
    """Take some values in, one after the other."""
    moments = Moments()
    for value in values:
        moments.add(value)
    return moments


def rounded(estimate: Estimate | None) -> tuple[float, ...]:
    """Round to the digits that the papers print."""
    assert estimate is not None
    return tuple(round(number, 4) for number in estimate if number is not None)


@given(VALUES, VALUES)
def test_moments_of_two_workers_are_those_of_one(ours: list[float], theirs: list[float]) -> None:
    """Merging gives what counting in one place would."""
    merged, whole = moments_of(ours), moments_of(ours + theirs)
    merged.merge(moments_of(theirs))
    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert merged.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-3)


def test_variance_does_not_cancel_far_from_zero() -> None:
    """A billion away from zero, sums of squares would lose every digit."""
    moments = moments_of([1e9 + value for value in (4.0, 7.0, 13.0, 16.0)])
    assert moments.squares / 3 == pytest.approx(30.0)


def test_mean_has_the_interval_of_the_textbook() -> None:
    """Ten values, nine degrees of freedom: the quantile is 2.262."""
    values = [2.1, 1.9, 2.4, 2.0, 2.2, 1.8, 2.3, 2.1, 2.0, 2.2]
    estimate = moments_of(values).estimate()
    margin = 2.262157 * np.std(values, ddof=1) / math.sqrt(10)
    assert estimate is not None
    assert estimate.low == pytest.approx(np.mean(values) - margin, rel=1e-4)
    assert estimate.high == pytest.approx(np.mean(values) + margin, rel=1e-4)


def test_few_values_have_a_mean_and_no_interval() -> None:
    """Nine values say too little of how they vary."""
    assert moments_of([1.0] * 9).estimate() == Estimate(1.0, None, None)


@pytest.mark.parametrize(
    ("hits", "count", "bounds"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_share_has_wilsons_interval(hits: int, count: int, bounds: tuple[float, float]) -> None:
    """The examples of Newcombe 1998, "Two-sided confidence intervals", table I, method 3."""
    assert rounded(share_of(hits, count))[1:] == bounds


@pytest.mark.parametrize(
    ("first", "second", "bounds"),
    [((48, 80), (56, 70), (0.0524, 0.3339)), ((3, 10), (9, 10), (0.1705, 0.8090))],
)
def test_difference_of_shares_has_newcombes_interval(
    first: tuple[int, int], second: tuple[int, int], bounds: tuple[float, float]
) -> None:
    """The examples of Newcombe 1998, "Interval estimation for the difference", method 10."""
    assert rounded(difference_of_shares(share_of(*first), share_of(*second)))[1:] == bounds


def test_difference_of_means_has_welchs_interval() -> None:
    """Two samples of unlike size and spread, worked out by hand."""
    random = np.random.default_rng(7)
    first, second = random.normal(5, 1, 40).tolist(), random.normal(7, 4, 25).tolist()
    estimate = difference_of_means(moments_of(first), moments_of(second))
    ours, theirs = np.var(first, ddof=1) / 40, np.var(second, ddof=1) / 25
    freedom = (ours + theirs) ** 2 / (ours**2 / 39 + theirs**2 / 24)
    assert 25 < freedom < 26
    assert estimate is not None
    assert estimate.high is not None
    margin = estimate.high - estimate.value
    assert margin == pytest.approx(2.0570 * math.sqrt(ours + theirs), rel=2e-3)


def test_single_rows_give_the_plain_interval() -> None:
    """Requests of one row each are independent rows, but for the last of so many."""
    clusters = Clusters()
    for number in range(1000):
        clusters.add(int(number % 10 > 0), 1)
    plain, estimate = share_of(900, 1000), clusters.estimate()
    assert plain is not None
    assert estimate is not None
    assert estimate.low == pytest.approx(plain.low, abs=2e-4)


def test_rows_alike_within_requests_count_once() -> None:
    """Ten requests of a thousand like rows tell as much as ten rows."""
    clusters = Clusters()
    for number in range(10):
        clusters.add(1000 if number < 8 else 0, 1000)
    ten, estimate = share_of(8, 10), clusters.estimate()
    assert ten is not None
    assert estimate is not None
    assert estimate.low == pytest.approx(ten.low, abs=0.03)


def test_agreement_everywhere_is_as_sure_as_there_are_requests() -> None:
    """No difference in three requests of a thousand rows is no proof that there is none."""
    clusters = Clusters()
    for _ in range(3):
        clusters.add(1000, 1000)
    assert clusters.estimate() == share_of(3, 3)


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Requests of unlike size, each with a rate of its own: 95 % hold in about 95 % of runs."""
    random = np.random.default_rng(11)
    held = 0
    for _ in range(600):
        clusters = Clusters()
        for rate, rows in zip(random.beta(9, 1, 60), random.integers(1, 20, 60), strict=True):
            clusters.add(int(random.binomial(rows, rate)), int(rows))
        estimate = clusters.estimate()
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= 0.9 <= estimate.high
    assert 0.92 <= held / 600 <= 0.98


@given(st.lists(st.floats(1e-6, 100.0), min_size=1, max_size=200))
def test_percentile_is_right_within_five_percent(values: list[float]) -> None:
    """A bucket is a tenth wide, and its middle is told."""
    durations = Durations()
    for value in values:
        durations.add(value)
    median = sorted(values)[(len(values) - 1) // 2]
    assert durations.percentile(0.5) == pytest.approx(median, rel=0.05)


def test_durations_of_two_workers_are_those_of_one() -> None:
    """Buckets add up."""
    ours, theirs, whole = Durations(), Durations(), Durations()
    for number in range(1, 100):
        whole.add(number / 1000)
        (ours if number % 3 else theirs).add(number / 1000)
    ours.merge(theirs)
    assert ours.buckets == whole.buckets
    assert ours.moments.mean == pytest.approx(whole.moments.mean)
