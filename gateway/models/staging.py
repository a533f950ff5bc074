"""Put a version into the repository in one step, after it was looked at beside it.

What is pushed lies in a folder of its own whose name no model can have, on the same file system, so
that one rename is all that the served folders ever see of it.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.errors import RepositoryReadOnly, VersionExists
from gateway.models.archives import FILES
from inference.errors import ModelRefused
from inference.version_files import MANIFEST_FILE, VersionPath, open_version

STAGING_FOLDER: Final = ".staging"
_LEFT_BEHIND_SECONDS: Final = 86_400.0


@contextlib.contextmanager
def staged(root: Path, name: str, version: str) -> Iterator[VersionPath]:
    """Make a folder for the files of a version; whatever is still there at the end is removed.

    Raises:
        RepositoryReadOnly: the repository cannot be written to.
    """
    folder = root / STAGING_FOLDER / secrets.token_hex(8)
    path = VersionPath(folder, name, version)
    try:
        path.folder.mkdir(parents=True, mode=0o755)
        _sweep(folder.parent)
    except OSError as error:
        raise RepositoryReadOnly(
            f"the model repository cannot be written to: {error.strerror}"
        ) from None
    try:
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_files(source: Path, path: VersionPath) -> None:
    """Copy what a folder has of a version's files, and the contract that lies beside it.

    Raises:
        ModelRefused: it holds something else.
    """
    for entry in source.iterdir():
        if entry.name not in FILES or not entry.is_file():
            raise ModelRefused(path.name, f"{source} holds the unknown file {entry.name}")
        shutil.copyfile(entry, path.folder / entry.name)
    beside = source.parent / MANIFEST_FILE
    if beside.is_file() and not (path.folder / MANIFEST_FILE).exists():
        shutil.copyfile(beside, path.folder / MANIFEST_FILE)


def inherit_manifest(path: VersionPath, root: Path) -> None:
    """Give a version without a contract of its own a copy of the one that its model has.

    Threat: the shared file can be edited, and what a version takes would change under its number.
    """
    shared = root / path.name / MANIFEST_FILE
    own = path.folder / MANIFEST_FILE
    if shared.is_file() and not own.exists():
        shutil.copyfile(shared, own)


def move_in_place(path: VersionPath, root: Path) -> bool:
    """Move a version to where it is served from; False where the same files lie there already.

    Raises:
        VersionExists: other files lie there.
        RepositoryReadOnly: the repository cannot be written to.
    """
    target = VersionPath(root, path.name, path.version)
    if target.folder.exists():
        if digest_of(target) == digest_of(path):
            return False
        raise VersionExists(f"version {path.version} of {path.name} has other files on the disk")
    try:
        for entry in path.folder.iterdir():
            entry.chmod(0o644)
            _sync(entry)
        _sync(path.folder)
        path.folder.chmod(0o755)
        if not target.folder.parent.exists():
            target.folder.parent.mkdir(exist_ok=True)
            target.folder.parent.chmod(0o755)
        path.folder.rename(target.folder)
        _sync(target.folder.parent)
    except OSError as error:
        raise RepositoryReadOnly(
            f"the model repository cannot be written to: {error.strerror}"
        ) from None
    return True


def take_away(path: VersionPath) -> None:
    """Remove a version that was refused after it had been moved in place."""
    shutil.rmtree(path.folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.folder.parent.rmdir()


def digest_of(path: VersionPath) -> str:
    """Compute the digest of a version's files.

    Raises:
        ModelRefused: they are not the files of a version.
    """
    with open_version(path) as files:
        return files.digests().version


def _sync(path: Path) -> None:
    """Wait until the disk has it: what is registered must not be gone after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed left behind."""
    for entry in folder.iterdir():
        if time.time() - entry.stat().st_mtime > _LEFT_BEHIND_SECONDS:
            shutil.rmtree(entry, ignore_errors=True)
