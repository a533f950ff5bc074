"""Read a model repository from disk: which models and versions it holds, and their bytes.

Layout: ``<name>/<version>/model.onnx``, ``<name>/<version>/golden.json`` and ``<name>/model.toml``.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.errors import ModelRefused
from inference.manifest import MANIFEST_NAME, Manifest, parse_manifest

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.json"
MAX_MODEL_BYTES = 2**31 - 1
MAX_TEXT_BYTES = 16 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


class Golden(BaseModel):
    """Rows and what the model must answer to them, checked whenever it is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    instances: list[object] = Field(min_length=1)
    predictions: list[object]
    relative_tolerance: float = Field(default=1e-5, ge=0, le=1)


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
class ModelFiles:
    """The content of one version, read once; nothing is read again later."""

    model: bytes
    manifest: Manifest
    golden: Golden | None


def list_versions(root: Path) -> list[VersionPath]:
    """List every version of every model: by name, then by rising number.

    Files beside the model folders, and names that begin with a dot, are not models.
    """
    return [
        VersionPath(root, model.name, version.name)
        for model in sorted(root.iterdir())
        if model.is_dir() and _NAME.fullmatch(model.name) and not model.name.startswith(".")
        for version in sorted(_version_folders(model), key=lambda folder: int(folder.name))
    ]


def read_version(path: VersionPath) -> ModelFiles:
    """Read the files of one version.

    Raises:
        ModelRefused: a file is missing, unknown, too large, unreadable, outside the repository or
            not what it should be.
    """
    unexpected = {entry.name for entry in path.folder.iterdir()} - {MODEL_FILE, GOLDEN_FILE}
    if unexpected:
        raise ModelRefused(path.name, f"{path.version}/ holds the unknown file {min(unexpected)}")
    manifest_path = path.folder.parent / MANIFEST_NAME
    golden_path = path.folder / GOLDEN_FILE
    return ModelFiles(
        model=_read(path, path.folder / MODEL_FILE, MAX_MODEL_BYTES),
        manifest=(
            parse_manifest(path.name, _read(path, manifest_path, MAX_TEXT_BYTES))
            if manifest_path.exists()
            else Manifest()
        ),
        golden=_read_golden(path, golden_path) if golden_path.exists() else None,
    )


def _version_folders(model: Path) -> list[Path]:
    return [
        folder for folder in model.iterdir() if folder.is_dir() and _VERSION.fullmatch(folder.name)
    ]


def _read_golden(path: VersionPath, file: Path) -> Golden:
    try:
        return Golden.model_validate_json(_read(path, file, MAX_TEXT_BYTES))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ModelRefused(path.name, f"{GOLDEN_FILE}: {place}: {first['msg']}") from None


def _read(path: VersionPath, file: Path, max_bytes: int) -> bytes:
    """Read a regular file that really lies in the repository.

    Threat: a link would let whoever writes models read any file of the server.
    """
    label = f"{path.version}/{file.name}" if file.parent == path.folder else file.name
    try:
        real = file.resolve(strict=True)
        if not real.is_relative_to(path.root.resolve()):
            raise ModelRefused(path.name, f"{label} is a link that leaves the repository")
        return _read_regular(path.name, real, label=label, max_bytes=max_bytes)
    except OSError as error:
        raise ModelRefused(path.name, f"{label}: {error.strerror}") from None


def _read_regular(name: str, file: Path, *, label: str, max_bytes: int) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelRefused(name, f"{label} is not a file")
        if status.st_size > max_bytes:
            raise ModelRefused(name, f"{label} is over {max_bytes} bytes")
        return opened.read(max_bytes)
