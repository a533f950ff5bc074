"""Hostile uploads are refused with a reason; what is served, and the server itself, stay as is."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile_uploads import MODEL, UPLOADS
from tests.processes import children_of, resident_bytes
from tests.repositories import scaled_model, write_model
from tests.serving import Server, free_port
from tests.unit.inference import hostile_texts
from tests.verdicts import share_verdicts

FEW = (
    "memory",
    "deep nesting",
    "external data",
    "external data, subgraph",
    "unknown operator",
    "truncated",
    *hostile_texts.HOSTILE,
    "a bit turned",
    "a file too many",
    "a symbolic link",
    "a hard link",
    "changed after registration",
)
"""Kinds that are refused soon, for the normal suite."""

MANY = 100
OPENED_TO_WRITE = re.compile(r'\bopenat\(.*"([^"]*)", [A-Z_|]*O_(?:WRONLY|RDWR|CREAT)')
MOVED = re.compile(r"\b(?:rename\w*|link(?:at)?|symlink\w*)\(")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one model that answers customers."""
    write_model(tmp_path / "models", MODEL, scaled_model(2))
    return tmp_path / "models"


@pytest.fixture
def traced(tmp_path: Path, repository: Path) -> Iterator[Server]:
    """Run a server whose file names are written down as it gives them to the kernel.

    A version gets little to live on, but what a traced check takes on a machine that is busy.
    """
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    wrapper = (strace, "-D", "-f", "-s", "4096", "-e", "trace=%file", "-o", f"{tmp_path}/trace")
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_VETTING_PROCESSOR_SECONDS": "5",
        "TOLLGATE_VETTING_MEMORY_MEBIBYTES": "512",
    }
    folder = share_verdicts(tmp_path / "var")
    server = Server(folder, free_port(), settings, wrapper=wrapper)
    server.start()
    yield server
    server.stop()


def refuse(server: Server, kind: str, number: int) -> None:
    """Have one upload refused, with a reason."""
    upload = UPLOADS[kind]
    answer = server.call(
        "PUT",
        f"/v1/models/{MODEL}/versions/{upload.version}",
        key=server.demo["admin_key"],
        body=upload.make(number),
        headers={"Content-Type": upload.media_type},
    )
    told = (answer.status, answer.body["code"])
    assert told == (upload.status, upload.code), (kind, answer.body)
    assert answer.body["detail"], kind


def check_answer(server: Server) -> None:
    """The version that is served answers as before."""
    answer = server.predict(server.demo["api_key"], {"instances": [3]}, model=MODEL)
    assert answer.body == {"predictions": [6]}


def contents_of(folder: Path) -> dict[str, str]:
    """Hash every file below a folder."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def check_trace(trace: Path, repository: Path) -> None:
    """Files came and went beside the served ones; none of these was opened to write or moved."""
    beside: set[str] = set()
    with trace.open(errors="replace") as calls:
        for line in calls:
            written = OPENED_TO_WRITE.search(line)
            if written is not None and written[1].startswith(f"{repository}/"):
                beside.add(written[1])
            assert not (MOVED.search(line) and str(repository) in line), line
    assert beside
    assert all(path.startswith(f"{repository}/.staging/") for path in beside)


def test_refused_uploads_touch_nothing_that_is_served(
    traced: Server, tmp_path: Path, repository: Path
) -> None:
    """One of each kind that is soon refused."""
    before = contents_of(repository)
    for kind in FEW:
        refuse(traced, kind, 0)
    check_answer(traced)
    assert contents_of(repository) == before
    check_trace(tmp_path / "trace", repository)


@pytest.mark.soak
@pytest.mark.parametrize("kind", UPLOADS)
def test_hundred_uploads_leave_the_server_as_it_was(
    *, traced: Server, tmp_path: Path, repository: Path, kind: str
) -> None:
    """Each is refused with a reason, customers are answered between, and no memory is kept."""
    before = contents_of(repository)
    held = 0
    for number in range(MANY):
        refuse(traced, kind, number)
        check_answer(traced)
        if number == MANY // 5:
            held = memory_of(traced)
    assert memory_of(traced) - held < 8 * 1024**2
    assert contents_of(repository) == before
    check_trace(tmp_path / "trace", repository)


def memory_of(server: Server) -> int:
    """Add up what the server's processes hold in memory."""
    assert server.process is not None
    family = [server.process.pid]
    for pid in family:
        family += children_of(pid)
    return resident_bytes(*family)
