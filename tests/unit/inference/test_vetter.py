"""Each content is vetted once by the same program, and loaded only as it was vetted."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from inference.errors import ModelRefused
from inference.registry import Registry
from inference.settings import InferenceSettings
from inference.version_files import VersionPath
from inference.vetter import Vetter
from inference.vetting_records import VettingRecords
from inference.vetting_report import Passed, Refused, VettingLimits
from tests.unit.inference import hostile_models
from tests.unit.inference.onnx_models import linear_model
from tests.unit.inference.test_registry import put

LIMITS = VettingLimits(processor_seconds=20)


def vetter(folder: Path | None, limits: VettingLimits = LIMITS) -> Vetter:
    """Build what vets, and remembers in a folder."""
    return Vetter(InferenceSettings(), limits, records=VettingRecords(folder, limits))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one good version."""
    put(tmp_path / "models", linear_model())
    return tmp_path / "models"


@pytest.fixture
def path(repository: Path) -> VersionPath:
    """Name the good version."""
    return VersionPath(repository, "m", "1")


def the_record(folder: Path) -> Path:
    """Find the only verdict that is remembered."""
    [record] = folder.glob("*.json")
    return record


async def test_what_passed_is_not_vetted_again(tmp_path: Path, path: VersionPath) -> None:
    """The second time gives the first report, to the second's fraction that it took."""
    first = await vetter(tmp_path).vet(path)
    assert await vetter(tmp_path).vet(path) == first


async def test_what_was_refused_is_not_vetted_again(tmp_path: Path, path: VersionPath) -> None:
    """A version that takes long to be refused holds up one start, not every one."""
    path.folder.joinpath("model.onnx").write_bytes(hostile_models.memory_asker())
    reasons = []
    for _ in range(2):
        with pytest.raises(ModelRefused) as refused:
            await vetter(tmp_path).vet(path)
        reasons.append(refused.value.reason)
    assert reasons[0] == reasons[1]
    record = the_record(tmp_path)
    assert "refused" in record.read_text()


async def test_other_content_is_vetted(tmp_path: Path, path: VersionPath) -> None:
    """A verdict holds for bytes, not for a name."""
    await vetter(tmp_path).vet(path)
    path.folder.joinpath("model.onnx").write_bytes(hostile_models.external())
    with pytest.raises(ModelRefused):
        await vetter(tmp_path).vet(path)


async def test_other_manifest_is_vetted(tmp_path: Path, path: VersionPath) -> None:
    """What `model.toml` says decides too."""
    await vetter(tmp_path).vet(path)
    path.folder.parent.joinpath("model.toml").write_text("[example]\nx = [1]")
    with pytest.raises(ModelRefused):
        await vetter(tmp_path).vet(path)


async def test_verdict_is_asked_for_anew_on_demand(tmp_path: Path, path: VersionPath) -> None:
    """An operator who doubts a verdict gets a new one, which then holds."""
    first = await vetter(tmp_path).vet(path)
    second = await vetter(tmp_path).vet(path, afresh=True)
    assert second != first
    assert await vetter(tmp_path).vet(path) == second


def test_verdict_under_other_limits_does_not_count(tmp_path: Path, path: VersionPath) -> None:
    """Who raises a limit wants it to have an effect."""
    digests = asyncio.run(vetter(None).vet(path)).digests
    VettingRecords(tmp_path, LIMITS).keep(digests, Refused("too large"))
    assert VettingRecords(tmp_path, LIMITS).find(digests) == Refused("too large")
    assert VettingRecords(tmp_path, VettingLimits()).find(digests) is None


async def test_verdict_of_another_program_does_not_count(tmp_path: Path, path: VersionPath) -> None:
    """A new engine may refuse what the old one took."""
    report = await vetter(tmp_path).vet(path)
    record = the_record(tmp_path)
    record.write_text(record.read_text().replace('"program":"', '"program":"older '))
    assert VettingRecords(tmp_path, LIMITS).find(report.digests) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00"])
async def test_broken_record_is_no_verdict(tmp_path: Path, path: VersionPath, content: str) -> None:
    """A power cut in the middle of writing costs a vetting."""
    report = await vetter(tmp_path).vet(path)
    record = the_record(tmp_path)
    record.write_text(content)
    assert VettingRecords(tmp_path, LIMITS).find(report.digests) is None


async def test_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, path: VersionPath
) -> None:
    """Versions are vetted each time where nothing can be remembered."""
    report = await vetter(tmp_path / "missing" / "vetted").vet(path)
    assert report.max_batch_size == 64


async def test_callers_of_one_time_share_a_verdict(tmp_path: Path, path: VersionPath) -> None:
    """Several workers that start together vet a version once."""
    reports = await asyncio.gather(*(vetter(tmp_path).vet(path) for _ in range(4)))
    assert len({report.seconds for report in reports}) == 1


async def test_file_that_changes_after_the_check_is_refused(
    tmp_path: Path, path: VersionPath
) -> None:
    """What is loaded is what was checked, byte for byte."""
    judge = vetter(tmp_path)
    report = await judge.vet(path)
    path.folder.joinpath("golden.json").write_text('{"instances": [[1, 2, 3]], "predictions": [1]}')
    with pytest.raises(ModelRefused, match="changed after they were checked"):
        await judge.load_checked(path, report)


async def test_loaded_version_names_its_content(tmp_path: Path, path: VersionPath) -> None:
    """The digest goes with the model, for whoever registers versions."""
    judge = vetter(tmp_path)
    report = await judge.vet(path)
    assert (await judge.load(path)).digest == report.digests.version


async def test_batch_is_no_larger_than_what_was_tried(path: VersionPath) -> None:
    """Memory that only a full batch takes is never asked of the server."""
    judge = vetter(None)
    report = await judge.vet(path)
    assert (await judge.load_checked(path, report)).max_batch_size == 64
    hasty = replace(report, run_seconds={1: 0.5, 2: 1.0, 4: 2.0})
    assert (await judge.load_checked(path, hasty)).max_batch_size == 4
    untried = replace(report, run_seconds={})
    assert (await judge.load_checked(path, untried)).max_batch_size == 64


async def test_repository_serves_what_passed(tmp_path: Path, repository: Path) -> None:
    """A hostile version beside a good one is told with its reason, and harms nobody."""
    put(repository, hostile_models.memory_asker(), "m/2")
    put(repository, hostile_models.truncated(), "n/1")
    registry = await Registry.load_vetted(repository, vetter(tmp_path))
    assert registry.resolve("m").version == "1"
    assert [
        (status.name, status.version, bool(status.reason)) for status in registry.statuses()
    ] == [
        ("m", "1", False),
        ("m", "2", True),
        ("n", "1", True),
    ]
    registry.close()


def test_records_round_trip(tmp_path: Path, path: VersionPath) -> None:
    """A report comes back as it was."""
    report = asyncio.run(vetter(None).vet(path))
    records = VettingRecords(tmp_path, LIMITS)
    records.keep(report.digests, Passed(report))
    assert records.find(report.digests) == Passed(report)
