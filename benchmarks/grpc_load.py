"""Send load over gRPC as wrk does over HTTP: callers with a connection each, without a pause.

It is a program of its own, so that it has a processor core of its own. The last line printed is one
JSON object; times are in microseconds.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import uvloop

from benchmarks.oip_messages import GRPC_SERVICE
from benchmarks.wrk import Load, LoadResult, WrkUnavailable

_PATH = f"/{GRPC_SERVICE}/ModelInfer"
_GRACE_SECONDS = 60.0
_MAX_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", _MAX_BYTES),
)
"""Without a pool of its own, a channel shares its connection with all others of the process."""


@dataclass
class _Seen:
    """What the callers saw."""

    latencies_us: list[int] = field(default_factory=list)
    errors: int = 0


def run_grpc(load: Load, *, seconds: float) -> LoadResult:
    """Send load for some seconds.

    Raises:
        WrkUnavailable: the program failed or printed no result.
    """
    keys = str(load.keys) if load.keys else "-"
    words = (load.url, str(load.body), keys, str(load.connections), str(seconds))
    command = [sys.executable, "-m", "benchmarks.grpc_load", *words]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_SECONDS
    )
    lines = finished.stdout.strip().splitlines()
    if finished.returncode != 0 or not lines:
        raise WrkUnavailable(f"the load over gRPC failed: {finished.stderr or finished.stdout}")
    return LoadResult(**json.loads(lines[-1]))


async def _send(
    target: str, body: bytes, keys: Iterator[str], *, until: float, seen: _Seen
) -> None:
    """Ask over one connection until the time is over."""
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        infer = channel.unary_unary(_PATH, None, None)
        while (began := time.perf_counter()) < until:
            key = next(keys)
            metadata = (("authorization", f"Bearer {key}"),) if key else ()
            try:
                await infer(body, metadata=metadata)
            except grpc.aio.AioRpcError:
                seen.errors += 1
            seen.latencies_us.append(round((time.perf_counter() - began) * 1e6))


async def _main(target: str, body: bytes, keys: list[str], *, callers: int, seconds: float) -> None:
    seen, began = _Seen(), time.perf_counter()
    turns = itertools.cycle(keys)
    until = began + seconds
    await asyncio.gather(
        *(_send(target, body, turns, until=until, seen=seen) for _ in range(callers))
    )
    times = sorted(seen.latencies_us)
    result = {
        "requests": len(times) - seen.errors,
        "duration_seconds": time.perf_counter() - began,
        "p50_us": times[len(times) // 2],
        "p99_us": times[len(times) * 99 // 100],
        "max_us": times[-1],
        "non_2xx": seen.errors,
        "socket_errors": 0,
        "timeouts": 0,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    _target, _body, _keys, _callers, _seconds = sys.argv[1:]
    uvloop.run(
        _main(
            _target,
            Path(_body).read_bytes(),
            [""] if _keys == "-" else Path(_keys).read_text().split(),
            callers=int(_callers),
            seconds=float(_seconds),
        )
    )
