"""Have a child process load, warm and check a model version before this process ever loads it.

The child is a fresh interpreter without this one's environment, files and rights; it has bounds on
memory, processor time and wall-clock time, and this process waits for one bounded line from it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from inference.errors import ModelRefused, VettingFailed
from inference.settings import InferenceSettings
from inference.version_files import OpenFiles, VersionPath, open_version
from inference.vetting_report import (
    ANSWER,
    JOB,
    MAX_ANSWER_BYTES,
    Job,
    Passed,
    Refused,
    VettingLimits,
    VettingReport,
    printable,
)

__all__ = ["VettingLimits", "VettingReport", "vet"]

_IN_A_CHILD: Final = MappingProxyType(
    {"inline_run_microseconds": 0, "execution_providers": ("cpu",), "engines": {}}
)
"""Whoever goes last is not timed, and behind the filter of system calls there is no device."""

_TEXT_SECONDS: Final = 5
_TEXT_BYTES: Final = 256 * 1024**2

_PASSED_ON: Final = ("LD_LIBRARY_PATH", "TZ")
"""Variables that the interpreter itself may need; nothing of ours, and no secret, is among them."""


async def vet(
    path: VersionPath, settings: InferenceSettings, limits: VettingLimits
) -> VettingReport:
    """Vet one version; the report holds for the very bytes whose digests it names.

    Cost: a process of about 100 MB for half a second and for what the model takes. Cancelling ends
    the child.

    Raises:
        ModelRefused: the version is not acceptable, or took more memory or processor time than it
            may.
        VettingFailed: the child could not be started, did not come to its end on a busy machine,
            was ended where memory is short, or said nothing that can be understood.
    """
    with open_version(path) as files:
        return await vet_files(path, files, settings, limits=limits)


async def vet_files(
    path: VersionPath, files: OpenFiles, settings: InferenceSettings, *, limits: VettingLimits
) -> VettingReport:
    """Vet files that are open already; raises as `vet`."""
    if files.model is None:
        limits = _limits_of_texts(limits)
    job = Job(
        name=path.name,
        version=path.version,
        model=files.model,
        golden=files.golden,
        manifest=files.manifest,
        owns_manifest=files.owns_manifest,
        settings=settings.model_copy(update=_IN_A_CHILD),
        limits=limits,
    )
    child = await _start(job, files.descriptors())
    try:
        line = await asyncio.wait_for(_read_line(child), limits.wall_seconds)
        status = await asyncio.wait_for(child.wait(), limits.wall_seconds)
    except TimeoutError:
        debug = f"there was no answer within {limits.wall_seconds:g} s"
        raise VettingFailed(path.name, debug) from None
    finally:
        await _end(child)
    return _understand(job, line, status)


def _limits_of_texts(limits: VettingLimits) -> VettingLimits:
    """Bound the vetting of a version whose model another server has: it only reads two texts.

    Threat: what takes a minute and gigabytes to read here would take them in each worker.
    """
    return replace(
        limits,
        memory_bytes=min(limits.memory_bytes, _TEXT_BYTES),
        processor_seconds=min(limits.processor_seconds, _TEXT_SECONDS),
    )


async def _start(job: Job, descriptors: list[int]) -> asyncio.subprocess.Process:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-B", "-W", "ignore", "-m", "inference.vetting_child"),
            JOB.dump_json(job).decode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_ANSWER_BYTES,
            pass_fds=descriptors,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise VettingFailed(job.name, f"the child cannot be started: {error.strerror}") from None


async def _read_line(child: asyncio.subprocess.Process) -> bytes:
    """Read the answer; empty where the child ends without one, or says too much."""
    if child.stdout is None:
        return b""
    try:
        return await child.stdout.readline()
    except ValueError:
        return b""


async def _end(child: asyncio.subprocess.Process) -> None:
    """End the child if it has not ended, and wait until the kernel has taken all of it back."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _understand(job: Job, line: bytes, status: int) -> VettingReport:
    if status != 0:
        raise _death(job, status)
    try:
        answer = ANSWER.validate_json(line)
    except ValidationError:
        raise VettingFailed(job.name, "the child gave no answer that can be understood") from None
    match answer:
        case Passed(report):
            return report
        case Refused(reason):
            raise ModelRefused(job.name, printable(reason))


def _death(job: Job, status: int) -> ModelRefused | VettingFailed:
    """Say of what the child died: the model's doing, unless Python or the system ended it."""
    if status > 0:
        return VettingFailed(job.name, f"the child ended with status {status}")
    if status == -signal.SIGXCPU:
        seconds = job.limits.processor_seconds
        return ModelRefused(job.name, f"it takes more than {seconds} s of processor time to check")
    if status == -signal.SIGKILL:
        # The model's own memory is bounded: the machine was short of it, and may have it tomorrow.
        return VettingFailed(
            job.name, "the system ended its check, as it does where memory is short"
        )
    return ModelRefused(job.name, f"it crashes the engine (signal {-status})")
