"""Open the files of one model version once, so that nothing is swapped between check and use.

Whoever reads goes by descriptor or by a copy in memory, never by name again, and says by digest
what was read.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from inference.errors import ModelRefused

MODEL_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.json"
MANIFEST_FILE: Final = "model.toml"
MAX_MODEL_BYTES: Final = 2**31 - 1
MAX_GOLDEN_BYTES: Final = 16 * 1024 * 1024
MAX_MANIFEST_BYTES: Final = 1024 * 1024

_CHUNK_BYTES = 1024 * 1024
_BOUNDS: Final = MappingProxyType(
    {
        MODEL_FILE: MAX_MODEL_BYTES,
        GOLDEN_FILE: MAX_GOLDEN_BYTES,
        MANIFEST_FILE: MAX_MANIFEST_BYTES,
    }
)


@dataclass(frozen=True, slots=True)
class VersionPath:
    """Where one version of a model lies."""

    root: Path
    name: str
    version: str

    @property
    def folder(self) -> Path:
        """Name the folder of the version."""
        return self.root / self.name / self.version


@dataclass(frozen=True, slots=True)
class Digests:
    """What a version consists of, each as SHA-256 in hexadecimal."""

    version: str
    """Of the files in the version's folder: `sha256sum * | sha256sum` in it gives the same."""

    manifest: str
    """Of `model.toml`, the version's own or the one that all share; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A private copy of a version's files; None where there is none."""

    model: bytes | None
    golden: bytes | None = None
    manifest: bytes | None = None
    owns_manifest: bool = False
    """`model.toml` lies in the version's folder, so it is the version's for good."""

    def digests(self) -> Digests:
        """Compute what the copy consists of."""
        hashes = {}
        if self.model is not None:
            hashes[MODEL_FILE] = hashlib.sha256(self.model).hexdigest()
        if self.golden is not None:
            hashes[GOLDEN_FILE] = hashlib.sha256(self.golden).hexdigest()
        manifest = "" if self.manifest is None else hashlib.sha256(self.manifest).hexdigest()
        if self.owns_manifest:
            hashes[MANIFEST_FILE] = manifest
        return Digests(version=_digest_of_listing(hashes), manifest=manifest)


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Descriptors of a version's files, each a regular file; None where there is none."""

    name: str
    model: int | None
    golden: int | None = None
    manifest: int | None = None
    owns_manifest: bool = False

    def descriptors(self) -> list[int]:
        """List those that are there."""
        return [fd for fd in (self.model, self.golden, self.manifest) if fd is not None]

    def read(self) -> Contents:
        """Copy the files into memory.

        Raises:
            ModelRefused: a file has grown beyond its bound, or cannot be read.
        """
        return Contents(
            model=None if self.model is None else _read(self, self.model, MODEL_FILE),
            golden=None if self.golden is None else _read(self, self.golden, GOLDEN_FILE),
            manifest=self.read_manifest(),
            owns_manifest=self.owns_manifest,
        )

    def read_manifest(self) -> bytes | None:
        """Copy `model.toml` alone; None where there is none.

        Raises:
            ModelRefused: it has grown beyond its bound, or cannot be read.
        """
        return None if self.manifest is None else _read(self, self.manifest, MANIFEST_FILE)

    def digests(self) -> Digests:
        """Compute what the files consist of, without holding more than a part of them.

        Raises:
            ModelRefused: a file cannot be read.
        """
        hashes = {}
        if self.model is not None:
            hashes[MODEL_FILE] = _hash(self, self.model, MODEL_FILE)
        if self.golden is not None:
            hashes[GOLDEN_FILE] = _hash(self, self.golden, GOLDEN_FILE)
        manifest = "" if self.manifest is None else _hash(self, self.manifest, MANIFEST_FILE)
        if self.owns_manifest:
            hashes[MANIFEST_FILE] = manifest
        return Digests(version=_digest_of_listing(hashes), manifest=manifest)


@contextlib.contextmanager
def open_version(path: VersionPath) -> Iterator[OpenFiles]:
    """Hold the files of a version open for the length of a block.

    Raises:
        ModelRefused: a file is missing, unknown, too large, unreadable, outside the repository or
            not a file.
    """
    _check_listing(path)
    with contextlib.ExitStack() as stack:

        def open_file(file: Path, *, is_required: bool = False) -> int | None:
            descriptor = _open(path, file, is_required=is_required)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
            return descriptor

        own_manifest = open_file(path.folder / MANIFEST_FILE)
        shared_manifest = open_file(path.folder.parent / MANIFEST_FILE)
        has_manifest = own_manifest is not None or shared_manifest is not None
        yield OpenFiles(
            name=path.name,
            model=open_file(path.folder / MODEL_FILE, is_required=not has_manifest),
            golden=open_file(path.folder / GOLDEN_FILE),
            manifest=shared_manifest if own_manifest is None else own_manifest,
            owns_manifest=own_manifest is not None,
        )


def _check_listing(path: VersionPath) -> None:
    try:
        names = {entry.name for entry in path.folder.iterdir()}
    except OSError as error:
        raise ModelRefused(path.name, f"{path.version}/: {error.strerror}") from None
    if unexpected := names - {MODEL_FILE, GOLDEN_FILE, MANIFEST_FILE}:
        raise ModelRefused(path.name, f"{path.version}/ holds the unknown file {min(unexpected)}")


def _open(path: VersionPath, file: Path, *, is_required: bool) -> int | None:
    """Open a regular file that really lies in the repository.

    Threat: a link would let whoever writes models read any file of the server; a pipe would hold
    the server up.
    """
    label = _label(path, file)
    if not is_required and not os.path.lexists(file):
        return None
    try:
        real = file.resolve(strict=True)
        if not real.is_relative_to(path.root.resolve()):
            raise ModelRefused(path.name, f"{label} is a link that leaves the repository")
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelRefused(path.name, f"{label}: {error.strerror}") from None
    try:
        _check_kind(path.name, descriptor, label=label, max_bytes=_bound(file.name))
    except ModelRefused:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(name: str, descriptor: int, *, label: str, max_bytes: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(name, f"{label} is not a file")
    if status.st_size > max_bytes:
        raise ModelRefused(name, f"{label} is over {max_bytes} bytes")


def _label(path: VersionPath, file: Path) -> str:
    return f"{path.version}/{file.name}" if file.parent == path.folder else file.name


def _bound(file: str) -> int:
    return _BOUNDS[file]


def _read(files: OpenFiles, descriptor: int, file: str) -> bytes:
    """Read from the start by position: others may share the descriptor's own."""
    limit = _bound(file)
    try:
        size = os.fstat(descriptor).st_size
        parts = [os.pread(descriptor, min(size, limit) + 1, 0)]
        while parts[-1] and sum(map(len, parts)) <= limit:
            parts.append(os.pread(descriptor, _CHUNK_BYTES, sum(map(len, parts))))
    except OSError as error:
        raise ModelRefused(files.name, f"{file}: {error.strerror}") from None
    content = parts[0] if not any(parts[1:]) else b"".join(parts)
    if len(content) > limit:
        raise ModelRefused(files.name, f"{file} is over {limit} bytes")
    return content


def _hash(files: OpenFiles, descriptor: int, file: str) -> str:
    digest = hashlib.sha256()
    offset = 0
    try:
        while chunk := os.pread(descriptor, _CHUNK_BYTES, offset):
            digest.update(chunk)
            offset += len(chunk)
    except OSError as error:
        raise ModelRefused(files.name, f"{file}: {error.strerror}") from None
    return digest.hexdigest()


def _digest_of_listing(hashes: dict[str, str]) -> str:
    """Hash the lines that `sha256sum` writes, in the order of the names."""
    lines = "".join(f"{hashes[file]}  {file}\n" for file in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()
