"""Load, warm and check one model version, in a process of its own that may die of it.

Started by `inference.vetting` as a fresh interpreter: a fork of the server would hold its secrets,
its sockets and the locks of its threads. The job is the only argument; the answer is one JSON line.
"""

import os
import resource
import sys
from time import perf_counter
from typing import Final, NoReturn

from inference.confinement import leave_network, limit_resources, seal
from inference.errors import ModelRefused
from inference.loading import ModelVersion, load_contents
from inference.repository import parse_files
from inference.signature import Signature
from inference.trial import is_out_of_memory, try_rows
from inference.version_files import Contents, OpenFiles, VersionPath
from inference.vetting_report import (
    ANSWER,
    JOB,
    NOWHERE,
    Job,
    Passed,
    Refused,
    VettingReport,
    printable,
)

_FILE_COPIES: Final = 4
_TRIAL_SHARE: Final = 0.25
"""Part of the processor time that runs at rising numbers of rows may take."""

_BYTES_PER_MAXRSS: Final = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Do the job and answer; the exit is at once, as nothing is worth tidying up."""
    started = perf_counter()
    job = JOB.validate_json(sys.argv[1])
    channel = _keep_answer_channel()

    def refuse(kind: type[BaseException], *_: object) -> None:
        """Answer for an exception that nobody foresaw: a file that raises one is not acceptable."""
        _answer(channel, Refused(f"it cannot be checked: {kind.__name__}"))

    sys.excepthook = refuse
    _answer(channel, _vet(job, started=started))


def _answer(channel: int, answer: Passed | Refused) -> NoReturn:
    line = ANSWER.dump_json(answer) + b"\n"
    while line:
        line = line[os.write(channel, line) :]
    os._exit(0)


def _keep_answer_channel() -> int:
    """Move standard output aside, so that nothing but the answer reaches the server."""
    channel = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def _vet(job: Job, *, started: float) -> Passed | Refused:
    is_alone = leave_network()
    unprotected = _limit(job)
    try:
        files = OpenFiles(
            job.name,
            model=job.model,
            golden=job.golden,
            manifest=job.manifest,
            owns_manifest=job.owns_manifest,
        )
        contents = files.read()
        for descriptor in files.descriptors():
            os.close(descriptor)
        unprotected += seal()
        if not is_alone and "system calls" in unprotected:
            unprotected.append("network")
        return Passed(_check(job, contents, unprotected=unprotected, started=started))
    except ModelRefused as refusal:
        if is_out_of_memory(refusal.reason):
            return _too_much_memory(job)
        return Refused(printable(refusal.reason))
    except MemoryError:
        return _too_much_memory(job)
    except RecursionError:
        return Refused("its files are nested too deeply")


def _limit(job: Job) -> list[str]:
    files = [file for file in (job.model, job.golden, job.manifest) if file is not None]
    return limit_resources(
        memory_bytes=job.limits.memory_bytes
        + _FILE_COPIES * sum(os.fstat(file).st_size for file in files),
        processor_seconds=job.limits.processor_seconds,
    )


def _check(
    job: Job, contents: Contents, *, unprotected: list[str], started: float
) -> VettingReport:
    signature, max_batch_size, run_seconds = _try(job, contents)
    return VettingReport(
        digests=contents.digests(),
        signature=signature,
        max_batch_size=max_batch_size,
        run_seconds=run_seconds,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_MAXRSS,
        seconds=perf_counter() - started,
        unprotected=tuple(unprotected),
    )


def _try(job: Job, contents: Contents) -> tuple[Signature, int, dict[int, float]]:
    """Load and run the model, or read what names an engine; return what the report says of it.

    Threat: a `model.toml` of 64 KiB can take a minute and gigabytes to read, without any model.
    """
    if contents.model is None:
        parse_files(job.name, contents)
        return Signature((), (), is_batchable=False), 1, {}
    path = VersionPath(NOWHERE, job.name, job.version)
    version: ModelVersion = load_contents(path, contents, job.settings)
    run_seconds = try_rows(version, budget_seconds=_TRIAL_SHARE * job.limits.processor_seconds)
    return version.signature, version.max_batch_size, run_seconds


def _too_much_memory(job: Job) -> Refused:
    mebibytes = job.limits.memory_bytes // 1024**2
    return Refused(f"it takes more than {mebibytes} MiB beyond four times its files")


if __name__ == "__main__":
    main()
