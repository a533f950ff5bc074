"""Tell what is on the board in the text formats of Prometheus and OpenMetrics."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gateway.observability.board import Board, Slot
from gateway.observability.meter import Kind, Metric

_MERGE: Final[Mapping[Kind, Callable[[list[float]], float]]] = {Kind.MAX: max, Kind.MIN: min}

Series = dict[tuple[str, ...], list[list[float]]]
"""The cells that each process has for each choice of labels."""


class BoardCollector(Collector):
    """Add up what the processes counted, and merge what the living ones say of themselves."""

    def __init__(self, board: Board, catalogue: Sequence[Metric]) -> None:
        self._board = board
        self._catalogue = catalogue

    def collect(self) -> Iterable[Family]:
        """Read the board once."""
        found = self._read()
        for metric in self._catalogue:
            series = found[metric.name]
            if series:
                yield _family(metric, series)

    def _read(self) -> dict[str, Series]:
        found: dict[str, Series] = {metric.name: {} for metric in self._catalogue}
        metrics = {metric.name: metric for metric in self._catalogue}
        for slot in self._board.slots():
            is_alive = slot.is_alive
            for name, labels, values in _entries(slot):
                metric = metrics.get(name)
                if metric is None or len(values) != metric.cells or math.isnan(values[0]):
                    continue
                if is_alive or not metric.is_gauge:
                    found[name].setdefault(labels, []).append(values)
        return found


def exposition(board: Board, catalogue: Sequence[Metric], *, accept: str) -> tuple[bytes, str]:
    """Write all metrics in the format that a scraper prefers; return them and their media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BoardCollector(board, catalogue))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _entries(slot: Slot) -> Iterator[tuple[str, tuple[str, ...], list[float]]]:
    for entry in slot.entries():
        yield entry.key[0], entry.key[1:], entry.values


def _family(metric: Metric, series: Series) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(metric, series)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    merge = _MERGE.get(metric.kind, sum)
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, found in sorted(series.items()):
        family.add_metric(labels, merge([value for [value] in found]))
    return family


def _histogram(metric: Metric, series: Series) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(str(bound) for bound in metric.buckets), "+Inf"]
    for labels, found in sorted(series.items()):
        *counts, total = (sum(column) for column in zip(*found, strict=True))
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric(labels, buckets, total)
    return family
