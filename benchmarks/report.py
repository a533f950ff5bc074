"""Write what was measured: a Markdown table for people, JSON for scripts."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.measurement import Measurement
from benchmarks.targets import (
    BARE,
    BARE_TLS,
    IDEMPOTENT,
    NO_RECEIPTS,
    REDIS,
    REDIS_2,
    REDIS_TLS,
    REDIS_TLS_2,
    TOKENS,
    TOLLGATE,
    TUTORIAL,
    UNBATCHED,
)

_PACKAGES = ("fastapi", "numpy", "onnxruntime", "orjson", "pydantic", "uvicorn", "uvloop")
_COLUMNS = (
    "case",
    "protocol",
    "connections",
    "rows",
    "target",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU us/request",
    "RSS MiB",
    "errors",
)
_RATIOS = (
    ("tollgate / bare", TOLLGATE, BARE),
    ("tollgate / tutorial", TOLLGATE, TUTORIAL),
    ("batching on / off", TOLLGATE, UNBATCHED),
    ("tokens / keys", TOKENS, TOLLGATE),
    ("receipts on / off", TOLLGATE, NO_RECEIPTS),
    ("idempotency keys / none", IDEMPOTENT, TOLLGATE),
    ("Redis / bare", REDIS, BARE),
    ("Redis, 2 workers / bare", REDIS_2, BARE),
    ("what Redis leaves", REDIS, TOLLGATE),
    ("bare, TLS / bare", BARE_TLS, BARE),
    ("Redis, TLS / bare, TLS", REDIS_TLS, BARE_TLS),
    ("Redis, TLS, 2 workers / bare, TLS", REDIS_TLS_2, BARE_TLS),
    ("what TLS leaves", REDIS_TLS, REDIS),
)

Medians = Mapping[tuple[str, str], Measurement]


def describe_machine(cores: int) -> dict[str, object]:
    """Say where it was measured, without naming the machine."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def compute_cpu_ratios(medians: Medians) -> dict[str, float]:
    """Divide the CPU of a request at Tollgate by that at the bare app, case by case."""
    pairs = [
        (case.name, medians.get((case.name, TOLLGATE)), medians.get((case.name, BARE)))
        for case in CASES
    ]
    return {
        name: round(own.cpu_us_per_request / floor.cpu_us_per_request, 3)
        for name, own, floor in pairs
        if own and floor and floor.cpu_us_per_request
    }


def compute_ratios(medians: Medians) -> dict[str, dict[str, float]]:
    """Divide requests/s, case by case, wherever both sides were measured."""
    ratios: dict[str, dict[str, float]] = {}
    for case in CASES:
        for title, over, under in _RATIOS:
            pair = medians.get((case.name, over)), medians.get((case.name, under))
            if pair[0] and pair[1] and pair[1].requests_per_second:
                quotient = pair[0].requests_per_second / pair[1].requests_per_second
                ratios.setdefault(case.name, {})[title] = round(quotient, 3)
    return ratios


def build_document(
    measurements: list[Measurement], medians: list[Measurement], settings: Mapping[str, object]
) -> dict[str, object]:
    """Gather everything for the JSON file."""
    return {
        **settings,
        "medians": [asdict(one) for one in medians],
        "ratios": compute_ratios(index(medians)),
        "cpu_ratios": compute_cpu_ratios(index(medians)),
        "measurements": [asdict(one) for one in measurements],
    }


def index(medians: list[Measurement]) -> Medians:
    """Find a median by case and target."""
    return {(one.case, one.target): one for one in medians}


def render_markdown(medians: list[Measurement]) -> str:
    """Write the table, the ratios, and the lone caller's wait."""
    by_name = index(medians)
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for case in CASES:
        lines += [_row(case, one) for one in medians if one.case == case.name]
    ratios = compute_ratios(by_name)
    if ratios:
        lines += ["", f"| requests/s | {' | '.join(ratios)} |", f"|---|{'--:|' * len(ratios)}"]
    for title, _, _ in _RATIOS:
        cells = [f"{found[title]:.2f}" if title in found else "" for found in ratios.values()]
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    shares = compute_cpu_ratios(by_name)
    if shares:
        cells = [f"{shares[name]:.2f}" if name in shares else "" for name in ratios]
        lines.append(f"| CPU/request, tollgate / bare | {' | '.join(cells)} |")
    lone, floor = by_name.get(("c1", TOLLGATE)), by_name.get(("c1", BARE))
    if lone and floor:
        extra_ms = (lone.p50_us - floor.p50_us) / 1000
        lines += ["", f"A lone caller waits {extra_ms:.2f} ms longer than at the bare app (p50)."]
    return "\n".join(lines)


def _row(case: Case, one: Measurement) -> str:
    errors = f"**{one.errors}**" if one.errors else "0"
    return (
        f"| {case.name} | {case.protocol} | {case.connections} | {case.rows} | {one.target} "
        f"| {one.requests_per_second:,.0f} | {one.p50_us / 1000:.2f} | {one.p99_us / 1000:.2f} "
        f"| {one.cpu_us_per_request:,.0f} | {one.resident_mib:.0f} | {errors} |"
    )
