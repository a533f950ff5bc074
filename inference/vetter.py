"""Vet versions before they are loaded: each content once, and few of them at a time."""

import asyncio
import hashlib
import logging
from dataclasses import replace
from typing import Final

from inference.compatibility import Terms
from inference.errors import InferenceError, ModelRefused, VettingFailed
from inference.loading import CHANGED, Load, ModelVersion, load_version
from inference.manifest import Manifest, parse_manifest
from inference.remote_loading import load_anywhere, read_signature
from inference.settings import InferenceSettings
from inference.version_files import Digests, OpenFiles, VersionPath, open_version
from inference.vetting import vet_files
from inference.vetting_records import VettingRecords
from inference.vetting_report import (
    Passed,
    Refused,
    VettingLimits,
    VettingReport,
    printable,
)

logger = logging.getLogger(__name__)

_PARALLEL: Final = 2
"""Children at a time: each may use a processor and its whole bound on memory."""


class Vetter:
    """Decide which versions this process may load.

    Concurrency: used from one event loop; several processes may share the records.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        limits: VettingLimits,
        *,
        records: VettingRecords,
        load: Load = load_anywhere,
    ) -> None:
        """Vet within limits; `load` brings to life what passed."""
        self._settings = settings
        self._limits = limits
        self._records = records
        self._load = load
        self._turns = asyncio.Semaphore(_PARALLEL)

    async def vet(self, path: VersionPath, *, afresh: bool = False) -> VettingReport:
        """Vet one version, or give the verdict that is remembered for its content.

        Cost: reading the files once for their digest; a child process where nothing is remembered.

        Raises:
            ModelRefused: the version is not acceptable.
            VettingFailed: it could not be checked.
        """
        with open_version(path) as files:
            async with self._turns:
                verdict = await self._find_or_judge(path, files, afresh=afresh)
        match verdict:
            case Passed(report):
                return report
            case Refused(reason):
                raise ModelRefused(path.name, reason)

    async def load(self, path: VersionPath) -> ModelVersion:
        """Vet one version and load the very bytes that passed, in a thread.

        Raises:
            ModelRefused: the version is not acceptable, or was changed meanwhile.
            VettingFailed: it could not be checked.
        """
        return await self.load_checked(path, await self.vet(path))

    async def load_checked(self, path: VersionPath, report: VettingReport) -> ModelVersion:
        """Load the bytes that a report is about.

        Raises:
            ModelRefused: the version was changed after it was vetted, or cannot be loaded here.
        """
        try:
            version = await asyncio.to_thread(
                load_version, path, self._settings, expected=report.digests, load=self._load
            )
        except InferenceError:
            raise
        except Exception as error:
            # An engine may raise anything, and memory may be short: one version fails, not a start.
            logger.exception("%s/%s cannot be loaded", path.name, path.version)
            reason = printable(f"it cannot be loaded: {type(error).__name__}: {error}")
            raise ModelRefused(path.name, reason) from None
        return _bounded(version, report)

    async def read_manifest(self, path: VersionPath, report: VettingReport) -> Manifest:
        """Read the `model.toml` that a report is about.

        Raises:
            ModelRefused: it was changed after it was vetted.
        """
        return await asyncio.to_thread(_read_manifest, path, report.digests)

    async def read_terms(self, path: VersionPath) -> Terms:
        """Vet one version, and say what it takes and gives; an engine is asked.

        Raises:
            ModelRefused: the version is not acceptable, or its engine does not answer.
            VettingFailed: it could not be checked.
        """
        report = await self.vet(path)
        manifest = await self.read_manifest(path, report)
        if not manifest.is_remote:
            return Terms(report.signature, manifest)
        signature = await asyncio.to_thread(read_signature, path, manifest, self._settings)
        return Terms(signature, manifest)

    async def judge(self, path: VersionPath, *, afresh: bool = False) -> VettingReport | str:
        """Vet one version; a reason in place of a report is why it cannot be loaded."""
        try:
            return await self.vet(path, afresh=afresh)
        except ModelRefused as refusal:
            return refusal.reason
        except VettingFailed as failure:
            return f"it could not be checked: {failure.debug}"

    async def _find_or_judge(
        self, path: VersionPath, files: OpenFiles, *, afresh: bool
    ) -> Passed | Refused:
        digests = await asyncio.to_thread(files.digests)
        async with self._records.held(digests):
            found = None if afresh else self._records.find(digests)
            if found is not None:
                return found
            verdict = await self._judge(path, files)
            if await asyncio.to_thread(files.digests) == digests:
                self._records.keep(digests, verdict)
            return verdict

    async def _judge(self, path: VersionPath, files: OpenFiles) -> Passed | Refused:
        try:
            report = await vet_files(path, files, self._settings, limits=self._limits)
        except ModelRefused as refusal:
            return Refused(refusal.reason)
        if report.unprotected:
            missing = ", ".join(report.unprotected)
            logger.warning(
                "%s/%s was checked without protection of: %s", path.name, path.version, missing
            )
        return Passed(report)


def _read_manifest(path: VersionPath, expected: Digests) -> Manifest:
    with open_version(path) as files:
        content = files.read_manifest()
    if content is None:
        return Manifest()
    if hashlib.sha256(content).hexdigest() != expected.manifest:
        raise ModelRefused(path.name, CHANGED)
    return parse_manifest(path.name, content)


def _bounded(version: ModelVersion, report: VettingReport) -> ModelVersion:
    """Share runs among no more rows than were tried.

    Threat: a run of few rows passes, and that of a full batch takes all of the server's memory.
    """
    tried = max(report.run_seconds, default=version.max_batch_size)
    if tried >= version.max_batch_size:
        return version
    logger.info("%s/%s: runs are shared by %d rows at most", version.name, version.version, tried)
    return replace(version, max_batch_size=tried)
