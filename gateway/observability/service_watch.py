"""Take the counts of the services over into the metrics, twice a second and at the end.

The services count in plain attributes, or tell of each run and each write; they know nothing of
metrics.
"""

import asyncio
import contextlib
import os
import platform
import resource
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

from gateway.evidence.kinds import DIFFERENCES
from gateway.limits.redis_limiter import RedisLimiter
from gateway.observability import catalogue
from gateway.observability.log_writer import LogWriter
from gateway.observability.meter import Counter, Gauge, Meter, Metric
from gateway.services import Services
from gateway.usage.periods import wall_clock_us
from inference.batch_run import BatchRun
from inference.batcher import Batcher
from inference.registry import ModelVersion

INTERVAL_SECONDS: Final = 0.5
_DESCRIPTORS_EVERY: Final = 10  # a thousand connections take half a millisecond to count
_MICROSECONDS: Final = 1e6

Read = Callable[[], float]


@contextlib.asynccontextmanager
async def watching(
    meter: Meter, services: Services, writer: LogWriter | None
) -> AsyncIterator[None]:
    """Keep the metrics in step with the services until the block ends."""
    watch = ServiceWatch(meter, services, writer)
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        watch.sample()


@dataclass(slots=True)
class _ModelWatch:
    """What is read of one model version, until nobody waits for it any more."""

    batcher: Batcher
    queue_rows: Gauge
    compute: Sequence[Counter]
    last: tuple[int, int, int] = (0, 0, 0)
    is_over: bool = False

    def sample(self) -> None:
        """Read everything once."""
        self.queue_rows.set(self.batcher.waiting_rows)
        account = self.batcher.compute
        now = (account.busy_us, account.billed_us, account.unbilled_us)
        for counter, value, last in zip(self.compute, now, self.last, strict=True):
            counter.add(value - last)
        self.last = now
        self.is_over = self.batcher.is_closed and not account.open_us


class ServiceWatch:
    """What is read of the services of one worker, and where it is written."""

    def __init__(self, meter: Meter, services: Services, writer: LogWriter | None) -> None:
        self._meter = meter
        self._samples = 0
        self._counters: list[tuple[Counter, Read, list[float]]] = []
        self._gauges: list[tuple[Gauge, Read]] = []
        self._loop_lag = meter.histogram(catalogue.LOOP_LAG_SECONDS)
        self._watch_usage(services)
        self._watch_limiter(services)
        self._watch_keys(services)
        self._watch_trials(services)
        self._watch_deliveries(services)
        self._services = services
        self._is_reconciling = False
        self._models: dict[ModelVersion, _ModelWatch] = {}
        self._leaving: list[_ModelWatch] = []
        self._watch_models()
        if writer is not None:
            self._count(catalogue.LOG_LINES_DROPPED, lambda: writer.dropped)
        self._watch_process()

    async def run(self) -> None:
        """Sample until cancelled, and measure how late the loop lets us."""
        loop = asyncio.get_running_loop()
        while True:
            self.sample()
            due = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._loop_lag.observe(max(0.0, loop.time() - due))

    def sample(self) -> None:
        """Read everything once."""
        for counter, read, last in self._counters:
            value = read()
            counter.add(value - last[0])
            last[0] = value
        for gauge, read in self._gauges:
            gauge.set(read())
        self._watch_models()
        self._watch_reconciliation()
        for watch in (*self._models.values(), *self._leaving):
            watch.sample()
        self._leaving = [watch for watch in self._leaving if not watch.is_over]
        if self._samples % _DESCRIPTORS_EVERY == 0:
            self._descriptors.set(_open_descriptors())
        self._samples += 1

    def _count(self, metric: Metric, read: Read) -> None:
        """Follow something that counts from 0 in this process."""
        self._counters.append((self._meter.counter(metric), read, [0.0]))

    def _tell(self, metric: Metric, read: Read, *labels: str) -> None:
        self._gauges.append((self._meter.gauge(metric, *labels), read))

    def _watch_usage(self, services: Services) -> None:
        journal, shipper = services.journal, services.shipper
        seconds = self._meter.histogram(catalogue.JOURNAL_WRITE_SECONDS)
        records = self._meter.histogram(catalogue.JOURNAL_WRITE_RECORDS)

        def note(count: int, took: float) -> None:
            records.observe(count)
            seconds.observe(took)

        journal.on_write = note
        self._tell(catalogue.JOURNAL_HELD_BYTES, lambda: journal.held_bytes)
        self._tell(catalogue.JOURNAL_MAX_BYTES, lambda: journal.max_bytes)
        self._tell(catalogue.KEPT_ANSWERS_BYTES, lambda: journal.answers.held_bytes)
        self._tell(catalogue.KEPT_ANSWERS_MAX_BYTES, lambda: journal.answers.max_bytes)
        self._count(catalogue.REPLAYED_ANSWERS, lambda: services.idempotency.replays)
        self._tell(catalogue.JOURNAL_WRITABLE, lambda: float(journal.is_writable))
        self._tell(
            catalogue.SHIPPER_LAG_SECONDS,
            lambda: max(0, wall_clock_us() - shipper.complete_through_us) / _MICROSECONDS,
        )
        self._count(catalogue.SHIPPER_FAILURES, lambda: shipper.failures)
        self._count(catalogue.LEDGER_CONFLICTS, lambda: shipper.conflicts)
        self._count(catalogue.LEDGER_MISSING_SEGMENTS, lambda: shipper.missing_segments)

    def _watch_reconciliation(self) -> None:
        """Tell what was found from when this worker is the one that compares."""
        reconciler = self._services.reconciler
        if self._is_reconciling or reconciler is None or not reconciler.elected.is_set():
            return
        self._is_reconciling = True
        for kind in DIFFERENCES:
            found = partial(lambda wanted: reconciler.counts[wanted], kind)
            self._tell(catalogue.RECONCILE_DIFFERENCES, found, kind.title)
        self._tell(catalogue.RECONCILE_AGE_SECONDS, lambda: time.monotonic() - reconciler.ran_at)

    def _watch_limiter(self, services: Services) -> None:
        limiter = services.limiter
        redis = limiter if isinstance(limiter, RedisLimiter) else None
        mode = self._meter.gauge(catalogue.LIMITER_WORKERS, "process")
        mode.set(float(redis is None))
        if redis is not None:
            self._tell(catalogue.LIMITER_WORKERS, lambda: redis.is_shared, "redis")
            self._tell(catalogue.LIMITER_WORKERS, lambda: not redis.is_shared, "alone")
            self._count(catalogue.REDIS_TRIPS, lambda: redis.trips)
            self._count(catalogue.REDIS_OUTAGES, lambda: redis.outages)
            self._count(catalogue.REDIS_LOCAL_DECISIONS, lambda: redis.local_decisions)
            self._count(catalogue.REDIS_LOST_RELEASES, lambda: redis.lost_releases)

    def _watch_keys(self, services: Services) -> None:
        keyset = services.keyset
        self._count(catalogue.KEYSET_REFRESHES, lambda: keyset.refreshes)
        self._tell(catalogue.KEYSET_AGE_SECONDS, lambda: time.monotonic() - keyset.read_at)

    def _watch_trials(self, services: Services) -> None:
        mirror = services.trials.mirror
        if mirror is not None:
            self._count(catalogue.MIRRORED_REQUESTS, lambda: mirror.runs)
            self._count(catalogue.MIRROR_PASSED_OVER, lambda: mirror.passed_over)

    def _watch_deliveries(self, services: Services) -> None:
        senders = services.deliverers
        self._count(catalogue.DELIVERED_RECORDS, lambda: sum(one.delivered for one in senders))
        self._count(catalogue.DELIVERY_FAILURES, lambda: sum(one.failures for one in senders))
        self._count(catalogue.UNDELIVERED_RECORDS, lambda: sum(one.put_aside for one in senders))
        waiting = catalogue.DELIVERY_WAITING_RECORDS
        self._tell(waiting, lambda: max((one.waiting for one in senders), default=0))

    def _watch_models(self) -> None:
        """Take up versions that are new, and leave those that are gone."""
        served = self._services.registry.models()
        if served == list(self._models):
            return
        for model in self._models.keys() - set(served):
            self._leaving.append(self._models.pop(model))
        for model in served:
            if model not in self._models:
                batcher = self._services.predictor.batcher_of(model)
                self._models[model] = self._watch_model(model, batcher)

    def _watch_model(self, model: ModelVersion, batcher: Batcher) -> "_ModelWatch":
        names = (model.name, model.version)
        seconds = self._meter.histogram(catalogue.RUN_SECONDS, *names)
        rows = self._meter.histogram(catalogue.RUN_ROWS, *names)

        def note(run: BatchRun, run_rows: int) -> None:
            seconds.observe(run.seconds)
            rows.observe(run_rows)

        batcher.on_run = note
        counters = [
            self._meter.counter(metric, *names)
            for metric in (
                catalogue.BUSY_MICROSECONDS,
                catalogue.BILLED_MICROSECONDS,
                catalogue.UNBILLED_MICROSECONDS,
            )
        ]
        return _ModelWatch(batcher, self._meter.gauge(catalogue.QUEUE_ROWS, *names), counters)

    def _watch_process(self) -> None:
        versions = (metadata.version("tollgate"), platform.python_version())
        self._tell(catalogue.BUILD_INFO, lambda: 1.0, *versions)
        self._tell(catalogue.WORKERS, lambda: 1.0)
        self._meter.counter(catalogue.WORKER_STARTS).add()
        self._count(catalogue.CPU_SECONDS, _cpu_seconds)
        self._tell(catalogue.RESIDENT_BYTES, _resident_bytes)
        self._descriptors = self._meter.gauge(catalogue.OPEN_DESCRIPTORS)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def _open_descriptors() -> float:
    try:
        return float(sum(1 for _ in Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0.0
