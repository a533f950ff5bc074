"""Read a model repository from disk: which models and versions it holds, and their bytes.

Layout: ``<name>/<version>/model.onnx``, ``<name>/<version>/golden.json``, and ``model.toml`` either
in the same folder, for that version alone, or in ``<name>``, for all that have none of their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.errors import ModelRefused
from inference.manifest import Manifest, parse_manifest
from inference.version_files import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Contents,
    Digests,
    VersionPath,
)

__all__ = [
    "Golden",
    "ModelFiles",
    "VersionPath",
    "list_versions",
    "parse_files",
    "read_folder_name",
]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


class Golden(BaseModel):
    """Rows and what the model must answer to them, checked whenever it is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    instances: list[object] = Field(min_length=1)
    predictions: list[object]
    relative_tolerance: float = Field(default=1e-5, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The content of one version, read once; nothing is read again later."""

    model: bytes | None
    """None where an engine has the model."""

    manifest: Manifest
    golden: Golden | None
    digests: Digests


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


def read_folder_name(folder: Path) -> tuple[str, str]:
    """Read the model and the version from the last two parts of a path.

    Raises:
        ModelRefused: they are none.
    """
    name, version = folder.resolve().parts[-2:]
    is_name = _NAME.fullmatch(name) and not name.startswith(".")
    if not is_name or not _VERSION.fullmatch(version):
        raise ModelRefused(
            name, "the folder of a version is named MODEL/VERSION, such as housing/2"
        )
    return name, version


def parse_files(name: str, contents: Contents) -> ModelFiles:
    """Read what is said about a model in the copy of its files.

    Raises:
        ModelRefused: `model.toml` or `golden.json` is not what it should be.
    """
    given = contents.manifest
    manifest = Manifest() if given is None else parse_manifest(name, given)
    if contents.model is None and not manifest.is_remote:
        raise ModelRefused(
            name, f"{MODEL_FILE}: there is none, and {MANIFEST_FILE} names no engine"
        )
    if contents.model is not None and manifest.is_remote:
        raise ModelRefused(name, f"{MODEL_FILE}: there is one, and {MANIFEST_FILE} names an engine")
    return ModelFiles(
        model=contents.model,
        manifest=manifest,
        golden=None if contents.golden is None else _parse_golden(name, contents.golden),
        digests=contents.digests(),
    )


def is_version_path(path: VersionPath) -> bool:
    """Say whether a repository may hold a version of this name and number."""
    is_name = _NAME.fullmatch(path.name) is not None and not path.name.startswith(".")
    return is_name and _VERSION.fullmatch(path.version) is not None


def _version_folders(model: Path) -> list[Path]:
    return [
        folder for folder in model.iterdir() if folder.is_dir() and _VERSION.fullmatch(folder.name)
    ]


def _parse_golden(name: str, content: bytes) -> Golden:
    try:
        return Golden.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ModelRefused(name, f"{GOLDEN_FILE}: {place}: {first['msg']}") from None
