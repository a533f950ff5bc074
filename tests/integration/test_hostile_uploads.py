"""Hostile uploads are refused with a reason; what is served, and the server itself, stay as is."""

import hashlib
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repositories import scaled_model, write_model
from tests.serving import Answer, Server, free_port
from tests.unit.inference import hostile_models

QUICK = ("memory", "deep nesting", "external data", "unknown operator", "truncated")
OPENED_TO_WRITE = re.compile(r'\bopenat\(.*"([^"]*)", [A-Z_|]*O_(?:WRONLY|RDWR|CREAT)')
MOVED = re.compile(r"\b(?:rename\w*|link(?:at)?|symlink\w*)\(")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one model that answers customers."""
    write_model(tmp_path / "models", "double", scaled_model(2))
    return tmp_path / "models"


@pytest.fixture
def settings(repository: Path) -> dict[str, str]:
    """Settings of a server on that repository that gives a version little to live on."""
    return {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_VETTING_PROCESSOR_SECONDS": "1",
        "TOLLGATE_VETTING_MEMORY_MEBIBYTES": "512",
    }


@pytest.fixture
def traced(tmp_path: Path, settings: dict[str, str]) -> Iterator[Server]:
    """Run a server whose file names are written down as it gives them to the kernel."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    wrapper = (strace, "-D", "-f", "-s", "4096", "-e", "trace=%file", "-o", f"{tmp_path}/trace")
    unhurried = settings | {"TOLLGATE_VETTING_PROCESSOR_SECONDS": "20"}  # a tracer takes time
    server = Server(tmp_path, free_port(), unhurried, wrapper=wrapper)
    server.start()
    yield server
    server.stop()


def upload(server: Server, content: bytes, *, model: str = "double") -> Answer:
    """Push version 2 of a model."""
    return server.call(
        "PUT",
        f"/v1/models/{model}/versions/2",
        key=server.demo["admin_key"],
        body=content,
        headers={"Content-Type": "application/octet-stream"},
    )


def contents_of(folder: Path) -> dict[str, str]:
    """Hash every file below a folder."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_refused_uploads_touch_nothing_that_is_served(traced: Server, repository: Path) -> None:
    """Files come and go beside the served ones; none of these is opened to write or moved over."""
    before = contents_of(repository)
    for kind in QUICK:
        answer = upload(traced, hostile_models.HOSTILE[kind]())
        assert (answer.status, answer.body["code"]) == (422, "model_refused"), kind
        assert answer.body["detail"], kind
    assert contents_of(repository) == before
    answer = traced.predict(traced.demo["api_key"], {"instances": [3]}, model="double")
    assert answer.body == {"predictions": [6]}
    calls = (traced.data_dir / "trace").read_text(errors="replace").splitlines()
    written = {match[1] for line in calls if (match := OPENED_TO_WRITE.search(line))}
    beside = [path for path in written if path.startswith(f"{repository}/")]
    assert len(beside) == len(QUICK)
    assert all(path.startswith(f"{repository}/.staging/") for path in beside)
    assert not [line for line in calls if MOVED.search(line) and str(repository) in line]


@pytest.mark.soak
@pytest.mark.parametrize("kind", hostile_models.HOSTILE)
def test_hundred_uploads_leave_the_server_as_it_was(
    *, tmp_path: Path, settings: dict[str, str], repository: Path, kind: str
) -> None:
    """Each is refused with a reason, customers are answered between, and no memory is kept.

    The content differs by a byte that means nothing, so that no verdict is remembered.
    """
    before = contents_of(repository)
    server = Server(tmp_path, free_port(), settings)
    server.start()
    try:
        held = 0
        for number in range(100):
            answer = upload(server, labelled(hostile_models.HOSTILE[kind](), number))
            assert (answer.status, answer.body["code"]) == (422, "model_refused"), answer.body
            answer = server.predict(server.demo["api_key"], {"instances": [3]}, model="double")
            assert answer.body == {"predictions": [6]}
            if number == 19:
                held = resident_bytes(server)
        assert resident_bytes(server) - held < 8 * 1024**2
    finally:
        server.stop()
    assert contents_of(repository) == before


def labelled(content: bytes, number: int) -> bytes:
    """Append a producer's name to a model: a field that changes nothing but the digest."""
    name = f"{number:03}".encode()
    return content + b"\x12\x03" + name


def resident_bytes(server: Server) -> int:
    """Add up what the server's processes hold in memory."""
    assert server.process is not None
    family = [server.process.pid]
    for pid in family:
        for task in Path(f"/proc/{pid}/task").iterdir():
            family += [int(child) for child in (task / "children").read_text().split()]
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family]
    return sum(pages) * resource.getpagesize()
