"""Remember which contents were vetted, by this very program and under these limits.

A verdict is a fact about a machine, a program and some bytes, so it lies in the data folder and not
in the database that several servers share: what one engine can load says nothing about another.
A refusal is remembered too; else a version that takes thirty seconds to be refused would hold up
every start of every worker.

Threat: whoever can write here could pass any model. The folder is the server's alone, like the
secrets beside it.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from pydantic import ConfigDict, TypeAdapter, ValidationError

from inference.onnx_engine import ort
from inference.version_files import Digests
from inference.vetting_report import Passed, Refused, VettingLimits

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Record:
    """One verdict, and what it depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    program: str
    limits: VettingLimits
    digests: Digests
    verdict: Passed | Refused


_RECORD: Final = TypeAdapter[_Record](_Record)


class VettingRecords:
    """A folder with a file for each content that was vetted; without a folder it forgets."""

    def __init__(self, folder: Path | None, limits: VettingLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._program = _identify_program()

    @contextlib.asynccontextmanager
    async def held(self, digests: Digests) -> AsyncIterator[None]:
        """Let one process at a time vet the same content; the next finds its verdict."""
        lock = self._open_lock(digests)
        try:
            if lock is not None:
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def find(self, digests: Digests) -> Passed | Refused | None:
        """Find the verdict on a content, unless another program or other limits made it."""
        if self._folder is None:
            return None
        try:
            record = _RECORD.validate_json(self._file_of(self._folder, digests).read_bytes())
        except (OSError, ValidationError):
            return None
        return record.verdict if record == self._record(digests, record.verdict) else None

    def keep(self, digests: Digests, verdict: Passed | Refused) -> None:
        """Remember a verdict; one that cannot be written is only found out again."""
        if self._folder is None:
            return
        file = self._file_of(self._folder, digests)
        draft = file.with_suffix(".new")
        try:
            draft.write_bytes(_RECORD.dump_json(self._record(digests, verdict)))
            draft.replace(file)
        except OSError as error:
            logger.warning("cannot remember what was vetted: %s: %s", file, error.strerror)

    def _record(self, digests: Digests, verdict: Passed | Refused) -> _Record:
        return _Record(self._program, self._limits, digests, verdict)

    def _open_lock(self, digests: Digests) -> int | None:
        """Open a file to lock; None where the folder cannot be written."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path = self._file_of(self._folder, digests).with_suffix(".lock")
            return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            logger.warning("cannot lock what is vetted: %s: %s", self._folder, error.strerror)
            return None

    @staticmethod
    def _file_of(folder: Path, digests: Digests) -> Path:
        both = f"{digests.version} {digests.manifest}"
        return folder / f"{hashlib.sha256(both.encode()).hexdigest()}.json"


def _identify_program() -> str:
    """Name what decides on a verdict: our own sources, the engine and the processor's kind."""
    sources = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(file.read_bytes())
    versions = (ort.__version__, onnx.__version__, np.__version__, platform.python_version())
    return " ".join((sources.hexdigest(), *versions, platform.machine()))
