"""A version is tried in a child process, which may die of it; the server learns the verdict."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from inference.errors import ModelRefused, VettingFailed
from inference.settings import InferenceSettings
from inference.version_files import VersionPath, open_version
from inference.vetting import VettingLimits, VettingReport, vet
from tests.processes import children_of
from tests.unit.inference import hostile_models, hostile_texts
from tests.unit.inference.onnx_models import (
    greeting_model,
    linear_model,
    lookup_model,
    row_mixing_model,
)
from tests.unit.inference.test_registry import put

LIMITS = VettingLimits(memory_bytes=768 * 1024**2, processor_seconds=20)


def vetted(root: Path, limits: VettingLimits = LIMITS) -> VettingReport:
    """Vet version 1 of the model m."""
    return asyncio.run(vet(VersionPath(root, "m", "1"), InferenceSettings(), limits))


def refusal(root: Path, limits: VettingLimits = LIMITS) -> str:
    """Say why version 1 of the model m is refused."""
    with pytest.raises(ModelRefused) as refused:
        vetted(root, limits)
    return refused.value.reason


def children() -> list[int]:
    """List the children that vet for this process."""
    return [
        child for child in children_of(os.getpid()) if b"inference.vetting_child" in told(child)
    ]


def told(process: int) -> bytes:
    """Read the command line of a process, empty once it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def environment_of(process: int) -> bytes:
    """Read what a process was started with."""
    return Path(f"/proc/{process}/environ").read_bytes()


def test_report_says_what_the_model_is(tmp_path: Path) -> None:
    """Names, datatypes and shapes, and rows that may share a run."""
    put(tmp_path, linear_model(), toml="[batching]\nmax_batch_size = 16")
    report = vetted(tmp_path)
    assert [(spec.name, spec.datatype, spec.shape) for spec in report.signature.inputs] == [
        ("x", "FP32", (-1, 3))
    ]
    assert report.signature.is_batchable
    assert report.max_batch_size == 16
    assert list(report.run_seconds) == [1, 2, 4, 8, 16]


def test_report_names_the_bytes_that_it_holds_for(tmp_path: Path) -> None:
    """Who loads a version compares, so nothing can be swapped after the check."""
    put(tmp_path, linear_model(), golden={"instances": [[1, 2, 3]], "predictions": [[321]]})
    with open_version(VersionPath(tmp_path, "m", "1")) as files:
        assert vetted(tmp_path).digests == files.digests()


def test_child_gives_up_all_that_it_can(tmp_path: Path) -> None:
    """On this platform nothing is left: no network, no files, no programs, no rights."""
    put(tmp_path, linear_model())
    assert vetted(tmp_path).unprotected == ()


def test_several_threads_compute_in_the_child(tmp_path: Path) -> None:
    """An engine that may use more threads starts them behind the filter too."""
    put(tmp_path, linear_model())
    settings = InferenceSettings(intra_op_threads=4)
    report = asyncio.run(vet(VersionPath(tmp_path, "m", "1"), settings, LIMITS))
    assert 64 in report.run_seconds


def test_child_inherits_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it never had, no hole in the engine can give away."""
    monkeypatch.setenv("TOLLGATE_KEY_PEPPER", "canary-of-a-pepper")
    put(tmp_path, hostile_models.endless_loop())

    async def look() -> set[bytes]:
        task = asyncio.create_task(
            vet(VersionPath(tmp_path, "m", "1"), InferenceSettings(), LIMITS)
        )
        while not children():  # noqa: ASYNC110 - nobody tells of a start
            await asyncio.sleep(0)
        environments = {environment_of(child) for child in children()}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return environments

    [environment] = asyncio.run(look())
    assert b"OPENBLAS_NUM_THREADS" in environment
    assert b"canary" not in environment


def test_model_that_mixes_its_rows_is_told(tmp_path: Path) -> None:
    """The child finds out what the server would."""
    put(tmp_path, row_mixing_model())
    assert vetted(tmp_path).max_batch_size == 1


def test_texts_are_tried_as_well(tmp_path: Path) -> None:
    """A model of strings runs in the child like any other."""
    put(tmp_path, greeting_model())
    assert 64 in vetted(tmp_path).run_seconds


def test_golden_samples_are_checked_in_the_child(tmp_path: Path) -> None:
    """A model that answers differently is refused."""
    put(tmp_path, linear_model(), golden={"instances": [[1, 2, 3]], "predictions": [[999]]})
    assert "differs from the predictions" in refusal(tmp_path)


def test_example_that_fails_is_told(tmp_path: Path) -> None:
    """The reason of the child's refusal reaches the operator."""
    put(tmp_path, lookup_model(), toml="[example]\nindex = 9")
    assert "fails on its example" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (hostile_models.memory_asker(), "memory"),
        (hostile_models.batch_memory_asker(), "memory"),
        (hostile_models.external(), "external data"),
        (hostile_models.unknown_operator(), "evil.ops"),
        (hostile_models.truncated(), "not all of it"),
        (hostile_models.deep_nesting(), "not an ONNX file"),
    ],
    ids=["memory", "memory of a batch", "external data", "operator", "truncated", "deep"],
)
def test_hostile_model_is_refused_with_a_reason(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    """Whatever it asks for, it asks for it in the child."""
    put(tmp_path, content)
    assert expected in refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [hostile_models.endless_loop(), hostile_models.product_chain()],
    ids=["endless loop", "product chain"],
)
def test_model_that_takes_too_long_is_ended(tmp_path: Path, content: bytes) -> None:
    """Even a single operator that nothing inside the engine can stop."""
    put(tmp_path, content)
    limits = VettingLimits(processor_seconds=1)
    assert "more than 1 s of processor time" in refusal(tmp_path, limits)


def write_texts(root: Path, texts: Mapping[str, bytes]) -> None:
    """Write version 1 of the model m, which has texts alone."""
    folder = root / "m" / "1"
    folder.mkdir(parents=True)
    for name, content in texts.items():
        (folder / name).write_bytes(content)


def test_version_that_names_an_engine_passes(tmp_path: Path) -> None:
    """There is no model to run; the report names the texts that it holds for."""
    write_texts(tmp_path, {"model.toml": b'runtime = "grpc://127.0.0.1:1"'})
    with open_version(VersionPath(tmp_path, "m", "1")) as files:
        assert vetted(tmp_path).digests == files.digests()


@pytest.mark.parametrize("kind", hostile_texts.HOSTILE)
def test_hostile_text_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    """The child reads it, and dies of it in place of the server."""
    write_texts(tmp_path, hostile_texts.HOSTILE[kind](0))
    assert hostile_texts.REASONS[kind] in refusal(tmp_path)


def test_child_that_gives_no_answer_in_time_is_ended(tmp_path: Path) -> None:
    """That says nothing about the model: a busy machine gives the child no processor."""
    put(tmp_path, hostile_models.endless_loop())
    with pytest.raises(VettingFailed):
        vetted(tmp_path, VettingLimits(wall_seconds=1))
    assert not children()


async def test_child_that_the_system_ends_says_nothing_about_the_model(tmp_path: Path) -> None:
    """A machine that is short of memory would else refuse a good version for good."""
    put(tmp_path, hostile_models.endless_loop())
    task = asyncio.create_task(vet(VersionPath(tmp_path, "m", "1"), InferenceSettings(), LIMITS))
    while not (found := children()):  # noqa: ASYNC110 - nobody tells of a start
        await asyncio.sleep(0)
    os.kill(found[0], signal.SIGKILL)
    with pytest.raises(VettingFailed) as failure:
        await task
    assert "memory is short" in failure.value.debug


async def test_cancelled_vetting_ends_its_child(tmp_path: Path) -> None:
    """An uploader who goes away leaves nothing running."""
    put(tmp_path, hostile_models.endless_loop())
    path = VersionPath(tmp_path, "m", "1")
    task = asyncio.create_task(vet(path, InferenceSettings(), LIMITS))
    while not children():  # noqa: ASYNC110 - nobody tells of a start
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children()
