"""Estimate means, shares and percentiles from numbers that come one by one, and how sure they are.

Everything here is small, grows no further with what it has seen, and can be added up over workers:
what two saw apart gives the same as what one saw of both.

Sources: B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products",
1962; T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for
Computing Sample Variances", 1979; E. B. Wilson, "Probable Inference, the Law of Succession, and
Statistical Inference", 1927; R. G. Newcombe, "Interval Estimation for the Difference Between
Independent Proportions", 1998, method 10; B. L. Welch, "The Generalization of Student's Problem
when Several Different Population Variances are Involved", 1947; C. Masson, J. E. Rim and H. K. Lee,
"DDSketch", 2019.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
_Z: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
FEWEST_FOR_MEAN: Final = 10
"""Below this many values a mean has no interval: nothing says how they are distributed."""

_GROWTH: Final = 1.1
"""Each bucket of `Durations` ends this much higher: a percentile is right within 5 %."""

_LEAST_SECONDS: Final = 1e-6
_LAST_BUCKET: Final = 200
"""About 190 seconds, past any deadline; what is longer counts as that."""


class Estimate(NamedTuple):
    """A value and the interval that holds the true one with the probability `CONFIDENCE`."""

    value: float
    low: float | None
    high: float | None


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations of some values."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one value in (Welford 1962)."""
        self.count += 1
        apart = value - self.mean
        self.mean += apart / self.count
        self.squares += apart * (value - self.mean)

    def merge(self, other: "Moments") -> None:
        """Take in what was seen elsewhere (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return
        apart = other.mean - self.mean
        self.mean += apart * other.count / count
        self.squares += other.squares + apart * apart * self.count * other.count / count
        self.count = count

    @property
    def variance_of_mean(self) -> float:
        """How far the mean itself varies; 0 where one value says nothing of it."""
        return self.squares / (self.count - 1) / self.count if self.count > 1 else 0.0

    def estimate(self) -> Estimate | None:
        """Give the mean with Student's interval; None where there is no value.

        The values are taken as independent, and as so many that their mean is about normal.
        """
        if not self.count:
            return None
        if self.count < FEWEST_FOR_MEAN:
            return Estimate(self.mean, None, None)
        margin = _student(self.count - 1) * math.sqrt(self.variance_of_mean)
        return Estimate(self.mean, self.mean - margin, self.mean + margin)


@dataclass(slots=True)
class Durations:
    """How long something took: moments, and counts in buckets that grow by a tenth."""

    moments: Moments = field(default_factory=Moments)
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Take one duration in."""
        self.moments.add(seconds)
        bucket = _bucket_of(seconds)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merge(self, other: "Durations") -> None:
        """Take in what was seen elsewhere."""
        self.moments.merge(other.moments)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def percentile(self, share: float) -> float | None:
        """Return the seconds that a share of the values did not pass, right within 5 %."""
        left = share * self.moments.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return _LEAST_SECONDS * _GROWTH**bucket * 2 / (1 + _GROWTH)
        return None


@dataclass(slots=True)
class Clusters:
    """How many of many rows are so, where the rows come in requests and are alike within them."""

    requests: int = 0
    rows: int = 0
    hits: int = 0
    rows_squared: float = 0.0
    hits_squared: float = 0.0
    products: float = 0.0

    def add(self, hits: int, rows: int) -> None:
        """Take the rows of one request in."""
        self.requests += 1
        self.rows += rows
        self.hits += hits
        self.rows_squared += float(rows) * rows
        self.hits_squared += float(hits) * hits
        self.products += float(hits) * rows

    def merge(self, other: "Clusters") -> None:
        """Take in what was seen elsewhere."""
        self.requests += other.requests
        self.rows += other.rows
        self.hits += other.hits
        self.rows_squared += other.rows_squared
        self.hits_squared += other.hits_squared
        self.products += other.products

    def estimate(self) -> Estimate | None:
        """Give the share with Wilson's interval for as many rows as the requests are worth.

        A thousand like rows in one request tell little more than one. So the variance of the share
        is taken between requests (W. G. Cochran, "Sampling Techniques", 1977, section 6.5), and
        the interval is the one of so many independent rows as would vary as much (E. L. Korn and
        B. I. Graubard, 1998). Where all rows are so, or none, each request counts as one row.
        """
        if not self.rows:
            return None
        share = self.hits / self.rows
        return Estimate(share, *_wilson(share, self._effective_rows(share)))

    def _effective_rows(self, share: float) -> float:
        if self.requests < 2:  # noqa: PLR2004 - one request has no variance
            return float(self.requests)
        apart = self.hits_squared - 2 * share * self.products + share * share * self.rows_squared
        variance = max(apart, 0.0) * self.requests / (self.requests - 1) / float(self.rows) ** 2
        own = share * (1 - share)
        if not own or not variance:
            return float(self.requests)
        return min(own / variance, float(self.rows))


def share_of(hits: int, count: int) -> Estimate | None:
    """Give the share of independent values that are so, with Wilson's interval."""
    if not count:
        return None
    share = hits / count
    return Estimate(share, *_wilson(share, float(count)))


def difference_of_shares(first: Estimate | None, second: Estimate | None) -> Estimate | None:
    """Give `second` less `first`, two independent shares, with Newcombe's interval."""
    if first is None or second is None:
        return None
    value = second.value - first.value
    bounds = (first.low, first.high, second.low, second.high)
    first_low, first_high, second_low, second_high = (bound or 0.0 for bound in bounds)
    down = math.hypot(second.value - second_low, first_high - first.value)
    up = math.hypot(second_high - second.value, first.value - first_low)
    return Estimate(value, value - down, value + up)


def difference_of_means(first: Moments, second: Moments) -> Estimate | None:
    """Give the mean of `second` less that of `first`, which are independent, with Welch's interval.

    The degrees of freedom are Welch's and Satterthwaite's.
    """
    if not first.count or not second.count:
        return None
    value = second.mean - first.mean
    if min(first.count, second.count) < FEWEST_FOR_MEAN:
        return Estimate(value, None, None)
    ours, theirs = first.variance_of_mean, second.variance_of_mean
    if not ours + theirs:
        return Estimate(value, value, value)
    freedom = (ours + theirs) ** 2 / (ours**2 / (first.count - 1) + theirs**2 / (second.count - 1))
    margin = _student(freedom) * math.sqrt(ours + theirs)
    return Estimate(value, value - margin, value + margin)


def sum_of(parts: Iterable[Moments]) -> Moments:
    """Add up what was seen in several places."""
    total = Moments()
    for part in parts:
        total.merge(part)
    return total


def _wilson(share: float, count: float) -> tuple[float, float]:
    square = _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    margin = _Z * spread / (1 + square / count)
    low = 0.0 if share <= 0.0 else max(0.0, middle - margin)
    high = 1.0 if share >= 1.0 else min(1.0, middle + margin)
    return low, high


def _student(freedom: float) -> float:
    """Return the quantile of Student's distribution, right within 0.1 % from 9 degrees on.

    Source: M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 26.7.5.
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _bucket_of(seconds: float) -> int:
    if seconds <= _LEAST_SECONDS:
        return 0
    return min(math.ceil(math.log(seconds / _LEAST_SECONDS, _GROWTH)), _LAST_BUCKET)
