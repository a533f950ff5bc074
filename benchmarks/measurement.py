"""Measure one case against one running server, and take medians over the rounds."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import grpc
import httpx

from benchmarks.cases import Body, Case, build_body
from benchmarks.grpc_load import run_grpc
from benchmarks.oip_messages import GRPC_SERVICE, read_binary, read_grpc, read_json
from benchmarks.processes import (
    RunningServer,
    ServerFailed,
    cpu_seconds,
    log_tail,
    resident_bytes,
)
from benchmarks.targets import Target
from benchmarks.wrk import Load, run_wrk

_WARM_UP_SECONDS = 1
_RELATIVE_TOLERANCE = 1e-3
_JSON_BYTES = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one case cost one server in one round, or the medians of all rounds."""

    case: str
    target: str
    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us_per_request: float
    resident_mib: float
    errors: int


def measure_case(
    case: Case, target: Target, server: RunningServer, *, seconds: int, folder: Path
) -> Measurement:
    """Check one answer, warm up, then measure.

    Raises:
        ServerFailed: the answer is not the right one.
    """
    body = folder / f"{case.name}.json"
    sent = build_body(case)
    body.write_bytes(sent.content)
    check_answer(case, target, server)
    url, run = server.url + case.path, run_wrk
    if case.protocol == "OIP gRPC":
        url, run = _grpc_target(server), run_grpc
    keys = target.has_idempotency_keys
    load = Load(url, body, target.keys, case.connections, sent.json_bytes, keys)
    run(load, seconds=_WARM_UP_SECONDS)
    cpu_before = cpu_seconds(server.pids)
    result = run(load, seconds=seconds)
    cpu = cpu_seconds(server.pids) - cpu_before
    return Measurement(
        case=case.name,
        target=target.name,
        requests_per_second=result.requests / result.duration_seconds,
        p50_us=result.p50_us,
        p99_us=result.p99_us,
        cpu_us_per_request=cpu * 1e6 / max(1, result.requests),
        resident_mib=resident_bytes(server.pids) / 2**20,
        errors=result.errors,
    )


def check_answer(case: Case, target: Target, server: RunningServer) -> None:
    """Ask once and compare with the golden predictions: a fast wrong answer is worth nothing."""
    body = build_body(case)
    key = target.keys.read_text().split()[0] if target.keys else None
    try:
        ask = _ask_grpc if case.protocol == "OIP gRPC" else _ask_http
        predictions = ask(case, body, server, key=key)
    except _Refused as error:
        problem = f"{target.name}, {case.name}: {error}"
        raise ServerFailed(f"{problem}\n{log_tail(server)}") from None
    expected = body.predictions or predictions
    if len(predictions) != body.rows or not all(
        math.isclose(one, other, rel_tol=_RELATIVE_TOLERANCE)
        for one, other in zip(predictions, expected, strict=True)
    ):
        raise ServerFailed(f"{target.name}, {case.name}: wrong predictions {predictions[:3]}")


class _Refused(Exception):
    """An answer that is no prediction."""


def _ask_http(case: Case, body: Body, server: RunningServer, *, key: str | None) -> list[float]:
    headers = _headers(body)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    with server.client() as client:
        answer = client.post(case.path, content=body.content, headers=headers)
    if answer.status_code != httpx.codes.OK:
        raise _Refused(f"{answer.status_code} {answer.text}")
    return _read_predictions(case, answer)


def _ask_grpc(_case: Case, body: Body, server: RunningServer, *, key: str | None) -> list[float]:
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    with grpc.insecure_channel(_grpc_target(server)) as channel:
        infer = channel.unary_unary(f"/{GRPC_SERVICE}/ModelInfer", None, None)
        try:
            return read_grpc(infer(body.content, metadata=metadata))
        except grpc.RpcError as error:
            raise _Refused(str(error)) from None


def _grpc_target(server: RunningServer) -> str:
    return f"127.0.0.1:{server.grpc_port}"


def _headers(body: Body) -> dict[str, str]:
    if body.json_bytes is None:
        return {"Content-Type": "application/json"}
    return {"Content-Type": "application/octet-stream", _JSON_BYTES: str(body.json_bytes)}


def _read_predictions(case: Case, answer: httpx.Response) -> list[float]:
    if case.protocol == "OIP JSON":
        return read_json(answer.content)
    if case.protocol == "OIP binary":
        return read_binary(answer.content, int(answer.headers[_JSON_BYTES]))
    predictions: list[float] = answer.json()["predictions"]
    return predictions


def take_medians(measurements: list[Measurement]) -> list[Measurement]:
    """Reduce the rounds of each case and target to one row of medians; errors are added up."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.case, one.target), []).append(one)
    return [_median(group) for group in groups.values()]


def _median(group: list[Measurement]) -> Measurement:
    columns = [asdict(one) for one in group]
    measured = (
        "requests_per_second",
        "p50_us",
        "p99_us",
        "cpu_us_per_request",
        "resident_mib",
    )
    return Measurement(
        case=group[0].case,
        target=group[0].target,
        errors=sum(one.errors for one in group),
        **{name: median(row[name] for row in columns) for name in measured},
    )
