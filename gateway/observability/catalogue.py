"""Every metric that there is; docs/metrics.md is generated from it.

No label holds anything that a caller chose or that names a tenant or a key: models are those of the
repository (or `unknown`), routes are templates, codes are those of the table of problems.
"""

from typing import Final

from gateway.observability.meter import Kind, Metric

LATENCIES: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds of a whole request."""

STEPS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
"""Seconds of a part of a request."""

SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
"""Rows or records that share a trip."""

REQUESTS: Final = Metric(
    "tollgate_requests",
    Kind.COUNTER,
    "Answered requests; `code` is that of the problem, empty where there was none.",
    ("route", "method", "model", "status", "code"),
)
REQUEST_SECONDS: Final = Metric(
    "tollgate_request_duration_seconds",
    Kind.HISTOGRAM,
    "From the head of a request to the beginning of its answer.",
    ("route", "model"),
    LATENCIES,
)
REQUESTS_IN_FLIGHT: Final = Metric(
    "tollgate_requests_in_flight", Kind.SUM, "Requests that were begun and not yet answered."
)
PREDICTION_ROWS: Final = Metric(
    "tollgate_prediction_rows", Kind.COUNTER, "Rows of answered predictions.", ("model",)
)
DECODE_SECONDS: Final = Metric(
    "tollgate_decode_seconds",
    Kind.HISTOGRAM,
    "Reading a body into tensors.",
    ("model",),
    STEPS,
)
ADMIT_SECONDS: Final = Metric(
    "tollgate_admit_seconds", Kind.HISTOGRAM, "Waiting for the limiter.", (), STEPS
)
QUEUE_SECONDS: Final = Metric(
    "tollgate_queue_seconds",
    Kind.HISTOGRAM,
    "Waiting for a run of the model.",
    ("model",),
    STEPS,
)
RECORD_SECONDS: Final = Metric(
    "tollgate_record_seconds",
    Kind.HISTOGRAM,
    "Waiting until the usage record is on disk.",
    (),
    STEPS,
)
RUN_SECONDS: Final = Metric(
    "tollgate_run_seconds",
    Kind.HISTOGRAM,
    "One run of a model, for everyone who shares it.",
    ("model", "version"),
    STEPS,
)
RUN_ROWS: Final = Metric(
    "tollgate_run_rows", Kind.HISTOGRAM, "Rows that shared a run.", ("model", "version"), SIZES
)
BUSY_MICROSECONDS: Final = Metric(
    "tollgate_engine_busy_microseconds",
    Kind.COUNTER,
    "Work of the engine: billed and unbilled, and what requests have that are not over yet.",
    ("model", "version"),
)
BILLED_MICROSECONDS: Final = Metric(
    "tollgate_billed_compute_microseconds",
    Kind.COUNTER,
    "Work of the engine that is in usage records, as their `compute_us`.",
    ("model", "version"),
)
UNBILLED_MICROSECONDS: Final = Metric(
    "tollgate_unbilled_compute_microseconds",
    Kind.COUNTER,
    "Work of the engine for nobody's bill: what failed, came too late or was repeated, warm-ups, "
    "and runs in the shadow of a trial.",
    ("model", "version"),
)
QUEUE_ROWS: Final = Metric(
    "tollgate_queue_rows", Kind.SUM, "Rows that wait for a run.", ("model", "version")
)
MIRRORED_REQUESTS: Final = Metric(
    "tollgate_mirrored_requests",
    Kind.COUNTER,
    "Requests that the other version of a trial was asked too.",
)
MIRROR_PASSED_OVER: Final = Metric(
    "tollgate_mirror_passed_over",
    Kind.COUNTER,
    "Requests of trials that were not, for want of time or budget.",
)
JOURNAL_WRITE_SECONDS: Final = Metric(
    "tollgate_journal_write_seconds",
    Kind.HISTOGRAM,
    "One write of the journal with its fsync, for everyone who shares it.",
    (),
    STEPS,
)
JOURNAL_WRITE_RECORDS: Final = Metric(
    "tollgate_journal_write_records",
    Kind.HISTOGRAM,
    "Usage records that shared a write.",
    (),
    SIZES,
)
JOURNAL_HELD_BYTES: Final = Metric(
    "tollgate_journal_held_bytes",
    Kind.MAX,
    "Usage on disk that the ledger does not have yet, in the fullest journal.",
)
JOURNAL_MAX_BYTES: Final = Metric(
    "tollgate_journal_max_bytes", Kind.MIN, "Bound on it: `TOLLGATE_JOURNAL_MAX_BYTES`."
)
JOURNAL_WRITABLE: Final = Metric(
    "tollgate_journal_writable", Kind.MIN, "1 while every journal takes records, else 0."
)
KEPT_ANSWERS_BYTES: Final = Metric(
    "tollgate_kept_answers_bytes",
    Kind.MAX,
    "Answers that are kept for retries, in the fullest journal.",
)
KEPT_ANSWERS_MAX_BYTES: Final = Metric(
    "tollgate_kept_answers_max_bytes", Kind.MIN, "Bound on it: `TOLLGATE_IDEMPOTENCY_MAX_BYTES`."
)
REPLAYED_ANSWERS: Final = Metric(
    "tollgate_replayed_answers",
    Kind.COUNTER,
    "Answers that were given again to an `Idempotency-Key`, and not billed again.",
)
SHIPPER_LAG_SECONDS: Final = Metric(
    "tollgate_shipper_lag_seconds",
    Kind.MAX,
    "How old the moment is up to which the ledger has all usage.",
)
SHIPPER_FAILURES: Final = Metric(
    "tollgate_shipper_failures", Kind.COUNTER, "Deliveries to the ledger that failed."
)
LEDGER_CONFLICTS: Final = Metric(
    "tollgate_ledger_conflicts",
    Kind.COUNTER,
    "Usage records not billed, as the ledger has another under their id or their month was pruned.",
)
LEDGER_MISSING_SEGMENTS: Final = Metric(
    "tollgate_ledger_missing_segments",
    Kind.COUNTER,
    "Segments of journals that an earlier state of the ledger had taken, and this one has not.",
)
DELIVERED_RECORDS: Final = Metric(
    "tollgate_delivered_records", Kind.COUNTER, "Usage records that billing systems have taken."
)
DELIVERY_FAILURES: Final = Metric(
    "tollgate_delivery_failures", Kind.COUNTER, "Times that a billing system took nothing."
)
UNDELIVERED_RECORDS: Final = Metric(
    "tollgate_undelivered_records",
    Kind.COUNTER,
    "Usage records put aside, as a billing system refuses them for good or cannot have them.",
)
DELIVERY_WAITING_RECORDS: Final = Metric(
    "tollgate_delivery_waiting_records",
    Kind.MAX,
    "Usage records that the slowest billing system has not got yet.",
)
RECONCILE_DIFFERENCES: Final = Metric(
    "tollgate_reconcile_differences",
    Kind.MAX,
    "What the last reconciliation found, by kind; 0 of each is right.",
    ("kind",),
)
RECONCILE_AGE_SECONDS: Final = Metric(
    "tollgate_reconcile_age_seconds", Kind.MAX, "Time since a reconciliation last came to its end."
)
LIMITER_WORKERS: Final = Metric(
    "tollgate_limiter_workers",
    Kind.SUM,
    "Workers by who counts limits: `redis`, `process` (no Redis is set), `alone` (Redis is away).",
    ("mode",),
)
REDIS_TRIPS: Final = Metric(
    "tollgate_redis_trips", Kind.COUNTER, "Calls that Redis answered in time."
)
REDIS_OUTAGES: Final = Metric(
    "tollgate_redis_outages", Kind.COUNTER, "Times that a worker gave Redis up."
)
REDIS_LOCAL_DECISIONS: Final = Metric(
    "tollgate_redis_local_decisions", Kind.COUNTER, "Requests that were decided without Redis."
)
REDIS_LOST_RELEASES: Final = Metric(
    "tollgate_redis_lost_releases",
    Kind.COUNTER,
    "Ends of requests that Redis could not be told; their leases expire.",
)
KEYSET_AGE_SECONDS: Final = Metric(
    "tollgate_keyset_age_seconds", Kind.MAX, "Time since the keys were last read from SQL."
)
KEYSET_REFRESHES: Final = Metric(
    "tollgate_keyset_refreshes", Kind.COUNTER, "Times that the keys were read from SQL."
)
WORKERS: Final = Metric("tollgate_workers", Kind.SUM, "Workers that serve.")
WORKERS_WANTED: Final = Metric("tollgate_workers_wanted", Kind.SUM, "Workers that should serve.")
WORKER_STARTS: Final = Metric(
    "tollgate_worker_starts", Kind.COUNTER, "Workers that got ready, the first ones included."
)
WORKER_CRASHES: Final = Metric(
    "tollgate_worker_crashes", Kind.COUNTER, "Workers that ended without being told to."
)
LOG_LINES_DROPPED: Final = Metric(
    "tollgate_log_lines_dropped",
    Kind.COUNTER,
    "Log lines that nobody took in time; requests do not wait for the log.",
)
BUILD_INFO: Final = Metric(
    "tollgate_build_info", Kind.MAX, "Always 1; the labels say what runs.", ("version", "python")
)
CPU_SECONDS: Final = Metric(
    "tollgate_process_cpu_seconds", Kind.COUNTER, "CPU time of the workers, user and system."
)
RESIDENT_BYTES: Final = Metric(
    "tollgate_process_resident_bytes", Kind.SUM, "Resident memory of the workers."
)
OPEN_DESCRIPTORS: Final = Metric(
    "tollgate_process_open_descriptors", Kind.MAX, "File descriptors of the worker with most."
)
LOOP_LAG_SECONDS: Final = Metric(
    "tollgate_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the event loop came to a timer of every half second.",
    (),
    STEPS,
)

CATALOGUE: Final = (
    *(REQUESTS, REQUEST_SECONDS, REQUESTS_IN_FLIGHT, PREDICTION_ROWS, DECODE_SECONDS),
    *(ADMIT_SECONDS, QUEUE_SECONDS, RECORD_SECONDS, RUN_SECONDS, RUN_ROWS, QUEUE_ROWS),
    *(BUSY_MICROSECONDS, BILLED_MICROSECONDS, UNBILLED_MICROSECONDS),
    *(MIRRORED_REQUESTS, MIRROR_PASSED_OVER),
    *(JOURNAL_WRITE_SECONDS, JOURNAL_WRITE_RECORDS, JOURNAL_HELD_BYTES, JOURNAL_MAX_BYTES),
    *(KEPT_ANSWERS_BYTES, KEPT_ANSWERS_MAX_BYTES, REPLAYED_ANSWERS),
    *(JOURNAL_WRITABLE, SHIPPER_LAG_SECONDS, SHIPPER_FAILURES, LEDGER_CONFLICTS),
    LEDGER_MISSING_SEGMENTS,
    *(DELIVERED_RECORDS, DELIVERY_FAILURES, UNDELIVERED_RECORDS, DELIVERY_WAITING_RECORDS),
    *(RECONCILE_DIFFERENCES, RECONCILE_AGE_SECONDS),
    *(LIMITER_WORKERS, REDIS_TRIPS, REDIS_OUTAGES, REDIS_LOCAL_DECISIONS, REDIS_LOST_RELEASES),
    *(KEYSET_AGE_SECONDS, KEYSET_REFRESHES, WORKERS, WORKERS_WANTED, WORKER_STARTS),
    *(WORKER_CRASHES, LOG_LINES_DROPPED, BUILD_INFO, CPU_SECONDS, RESIDENT_BYTES),
    *(OPEN_DESCRIPTORS, LOOP_LAG_SECONDS),
)
