"""Hostile models are refused with a reason; the server and its files do not notice."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inference.errors import ModelRefused
from inference.settings import InferenceSettings
from inference.version_files import VersionPath
from inference.vetter import Vetter
from inference.vetting_records import VettingRecords
from inference.vetting_report import VettingLimits
from tests.processes import resident_bytes
from tests.repositories import scaled_model, write_model
from tests.serving import ROOT, Server, free_port
from tests.unit.inference import hostile_models

SECRET = "canary-of-the-server.bin"
WRITES = re.compile(r'\b(?:openat|open|creat)\(.*"([^"]*)".*O_(?:WRONLY|RDWR|CREAT)')
CHANGES = re.compile(
    r"\b((?:un)?link|linkat|unlinkat|rename\w*|mkdir\w*|rmdir|symlink\w*|mknod\w*|ch(?:mod|own)"
    r"|fchmodat\w*|fchownat|truncate|connect|bind)\("
)


@dataclass(frozen=True)
class TracedCheck:
    """What `tollgate check` said of a repository, and the files and peers it named."""

    output: str
    trace: Path


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> TracedCheck:
    """Check a repository of everything that is quick to refuse, beside a file worth stealing."""
    folder = tmp_path_factory.mktemp("hostile")
    repository = folder / "models"
    (folder / SECRET).write_bytes(bytes(12))
    for number, location in enumerate((f"../../../{SECRET}", str(folder / SECRET), SECRET)):
        write_model(repository, f"external{number}", hostile_models.external(location))
    write_model(repository, "memory", hostile_models.memory_asker())
    write_model(repository, "operator", hostile_models.unknown_operator())
    write_model(repository, "truncated", hostile_models.truncated())
    write_model(repository, "deep", hostile_models.deep_nesting())
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    trace = folder / "trace"
    ended = subprocess.run(
        [
            *(strace, "-f", "-s", "4096", "-e", "trace=%file,%network", "-o", str(trace)),
            *(sys.executable, "-B", "-m", "gateway.cli", "check", str(repository)),
        ],
        cwd=ROOT,
        env=os.environ | {"TOLLGATE_DATA_DIR": str(folder / "nothing")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 1, ended.stderr
    return TracedCheck(ended.stdout, trace)


def successful(trace: Path) -> Iterator[str]:
    """Read the calls of a trace that went well."""
    for line in trace.read_text(errors="replace").splitlines():
        if " = -1 " not in line and "+++" not in line and "---" not in line:
            yield line


def test_refused_model_touches_no_file_and_no_peer(checked: TracedCheck) -> None:
    """Of all system calls none writes or renames a file, or calls anybody."""
    calls = list(successful(checked.trace))
    assert len(calls) > 1000
    written = {match[1] for line in calls if (match := WRITES.search(line))}
    assert written <= {"/dev/null", "/proc/self/oom_score_adj"}
    assert [line for line in calls if CHANGES.search(line)] == []
    assert SECRET not in checked.trace.read_text(errors="replace")


def test_every_refusal_has_its_reason(checked: TracedCheck) -> None:
    """The operator reads what is wrong with each."""
    rows = [line.split() for line in checked.output.splitlines()[1:]]
    assert {row[0]: " ".join(row[3:]) for row in rows} == {
        "deep": "not an ONNX file, or not all of it",
        "external0": "tensor 'stolen' has external data",
        "external1": "tensor 'stolen' has external data",
        "external2": "tensor 'stolen' has external data",
        "memory": "at 1 rows a run takes more memory than it may",
        "operator": "operator 'Run' has domain 'evil.ops'",
        "truncated": "not an ONNX file, or not all of it",
    }


def test_server_starts_beside_versions_that_never_end(tmp_path: Path) -> None:
    """The good version is served, the others are not, and the log says why."""
    repository = tmp_path / "models"
    write_model(repository, "double", scaled_model(2))
    write_model(repository, "double", hostile_models.endless_loop(), version=2)
    write_model(repository, "double", hostile_models.product_chain(), version=3)
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_VETTING_PROCESSOR_SECONDS": "1",
    }
    server = Server(tmp_path, free_port(), settings)
    server.start()
    try:
        answer = server.predict(server.demo["api_key"], {"instances": [3]}, model="double")
    finally:
        server.stop()
    assert answer.body == {"predictions": [6]}
    log = (tmp_path / "server.log").read_text()
    assert log.count("it takes more than 1 s of processor time to check") == 2


@pytest.mark.soak
@pytest.mark.parametrize("kind", hostile_models.HOSTILE)
async def test_hundred_of_a_kind_leave_memory_as_it_was(tmp_path: Path, kind: str) -> None:
    """Each is refused with a reason, and the process that has them checked grows by nothing."""
    write_model(tmp_path, "hostile", hostile_models.HOSTILE[kind]())
    path = VersionPath(tmp_path, "hostile", "1")
    limits = VettingLimits(memory_bytes=512 * 1024**2, processor_seconds=1)
    vetter = Vetter(InferenceSettings(), limits, records=VettingRecords(None, limits))
    reasons = []
    for number in range(100):
        with pytest.raises(ModelRefused) as refused:
            await vetter.vet(path)
        reasons.append(refused.value.reason)
        if number == 9:
            before = resident_bytes(os.getpid())
    assert len(set(reasons)) == 1, set(reasons)
    assert resident_bytes(os.getpid()) - before < 4 * 1024**2


@pytest.mark.parametrize(
    "count", [4, pytest.param(100, marks=pytest.mark.soak)], ids=["few", "hundred"]
)
async def test_damaged_files_never_harm_the_server(tmp_path: Path, count: int) -> None:
    """Cut anywhere it is refused; with a bit turned it is refused or answers as its samples say."""
    folder = shutil.copytree(ROOT / "examples" / "models" / "housing", tmp_path / "damaged")
    content = (folder / "1" / "model.onnx").read_bytes()
    limits = VettingLimits(processor_seconds=10)
    vetter = Vetter(InferenceSettings(), limits, records=VettingRecords(None, limits))
    path = VersionPath(tmp_path, "damaged", "1")
    chance = random.Random(1)  # noqa: S311 - the same damage each time
    for _ in range(count):
        (folder / "1" / "model.onnx").write_bytes(content[: chance.randrange(len(content))])
        with pytest.raises(ModelRefused):
            await vetter.vet(path)
        turned = bytearray(content)
        turned[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / "1" / "model.onnx").write_bytes(turned)
        outcome = await vetter.judge(path)
        assert "could not be checked" not in str(outcome)
