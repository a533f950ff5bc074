"""An archive is read for three names; everything else in it is refused."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from gateway.errors import RequestInvalid
from gateway.models.archives import unpack
from tests.unit.gateway.models.archives import archive_of

FILES = {"model.onnx": b"m" * 1000, "golden.json": b"{}", "model.toml": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that is unpacked into."""
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def unpacked(content: bytes, folder: Path) -> dict[str, bytes]:
    """Unpack an archive and read what came out."""
    archive = folder.parent / "upload.tar"
    archive.write_bytes(content)
    unpack(archive, folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_files_come_out_as_they_went_in(folder: Path) -> None:
    """With extended headers, as Python writes them."""
    assert unpacked(archive_of(FILES), folder) == FILES


def test_archive_of_the_systems_own_tar_is_read(folder: Path, tmp_path: Path) -> None:
    """With the folder itself as its first member."""
    source = tmp_path / "source"
    source.mkdir()
    for name, content in FILES.items():
        (source / name).write_bytes(content)
    done = subprocess.run(
        ["tar", "--create", "--directory", source, "."],
        capture_output=True,
        check=True,
    )
    assert unpacked(done.stdout, folder) == FILES


@pytest.mark.parametrize(
    "name",
    [
        *("../model.onnx", "/etc/passwd", "a/model.onnx", "other.onnx", "model.onnx/"),
        *("MODEL.ONNX", "model.onnx.sh", "..", "x" * 99),
    ],
)
def test_other_names_are_refused(folder: Path, name: str) -> None:
    """Threat: a path would lead out of the folder."""
    with pytest.raises(RequestInvalid):
        unpacked(archive_of({name: b"x"}), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_other_kinds_are_refused(folder: Path, kind: bytes) -> None:
    """Threat: a link reads any file of the server, a sparse file has any size."""
    with pytest.raises(RequestInvalid):
        unpacked(archive_of({"model.onnx": b""}, kind=kind, link="/etc/passwd"), folder)
    assert list(folder.iterdir()) == []


def test_same_file_twice_is_refused(folder: Path) -> None:
    """Nobody could say which one was meant."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
        archive.addfile(tarfile.TarInfo("model.onnx"))
    with pytest.raises(RequestInvalid):
        unpacked(written.getvalue(), folder)


@pytest.mark.parametrize("part", [100, 511, 513, 1800])
def test_part_of_an_archive_is_refused(folder: Path, part: int) -> None:
    """A body that was cut off is no version."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("model.onnx")
        member.size = 2000
        archive.addfile(member, io.BytesIO(b"m" * 2000))
    with pytest.raises(RequestInvalid):
        unpacked(written.getvalue()[:part], folder)


def test_what_is_no_archive_is_refused(folder: Path) -> None:
    """Whatever it is."""
    with pytest.raises(RequestInvalid):
        unpacked(b"\x1f\x8b" + bytes(range(256)) * 10, folder)


def test_endless_members_are_refused(folder: Path) -> None:
    """The reader does not walk for long."""
    with pytest.raises(RequestInvalid):
        unpacked(archive_of({"model.onnx": b""})[:1024] * 5000, folder)
