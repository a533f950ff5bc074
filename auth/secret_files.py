"""Find a secret of the server, make one at the first start, and refuse one that can be guessed.

A secret is one text, or one line for each version that still counts, first the one in use:

    2:Jr0vT...
    1:u8WbQ...
"""

import os
import re
import secrets
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from auth.errors import SecretMalformed, SecretMissing, WeakSecret

MOST_VERSION: Final = 255
_LEAST_BYTES: Final = 32
_LEAST_DISTINCT_BYTES: Final = 10
_GENERATED_BYTES: Final = 48
_LINE: Final = re.compile(rb"([1-9][0-9]{0,2}):(.*)", re.DOTALL)
_PLACEHOLDERS: Final = (
    b"changeme",
    b"change-me",
    b"change_me",
    b"changethis",
    b"placeholder",
    b"password",
    b"example",
    b"insecure",
    b"default",
    b"tollgate",
)


@dataclass(frozen=True, slots=True)
class VersionedSecret:
    """Hold a secret by version, first the one in use; there is at least one."""

    versions: dict[int, bytes]

    @property
    def current(self) -> int:
        """The version that everything new is made with."""
        return next(iter(self.versions))

    def __repr__(self) -> str:
        """Leave the secrets out."""
        return f"VersionedSecret(versions={list(self.versions)})"


def load_secret(value: SecretStr | None, path: Path, *, may_create: bool) -> VersionedSecret:
    """Return a secret: `value`, else what `path` holds, else a new one written there.

    Losing it makes worthless whatever was made with it, so a new one is on the disk before it is
    used.

    Threat: with a guessable secret, whoever copies the database can test guesses offline.

    Raises:
        SecretMalformed: its lines are not one for each version.
        SecretMissing: there is none and none may be made.
        WeakSecret: it can be guessed.
    """
    if value is not None:
        return read_versions(value.get_secret_value().encode("utf-8", "surrogateescape"))
    if may_create and not path.exists():
        _create(path)
    try:
        return read_versions(path.read_bytes())
    except FileNotFoundError:
        raise SecretMissing(path) from None


def read_versions(text: bytes) -> VersionedSecret:
    """Take the text of a secret apart; without numbers it is version 1 alone.

    Raises:
        SecretMalformed: a line has no number, or two are the same.
        WeakSecret: one of the versions can be guessed.
    """
    text = text.strip()
    if not _LINE.match(text):
        return VersionedSecret({1: _strong(text)})
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [match for match in map(_LINE.fullmatch, lines) if match]
    numbers = [int(match[1]) for match in matches]
    if len(matches) != len(lines) or max(numbers) > MOST_VERSION:
        raise SecretMalformed(f"each line is a version up to {MOST_VERSION}, a colon and a secret")
    if len(set(numbers)) != len(numbers):
        raise SecretMalformed("two lines have one number")
    versions = {int(match[1]): _strong(match[2].strip()) for match in matches}
    if len(set(versions.values())) != len(versions):
        raise SecretMalformed("two versions are the same secret")
    return VersionedSecret(versions)


def write_versions(path: Path, secret: VersionedSecret) -> None:
    """Replace the file of a secret, whole and durable or not at all."""
    lines = [b"%d:%s\n" % (version, value) for version, value in secret.versions.items()]
    draft = _draft(path, b"".join(lines))
    draft.replace(path)
    _sync_folder(path.parent)


def generate() -> bytes:
    """Return a new secret, as printable text."""
    return secrets.token_urlsafe(_GENERATED_BYTES).encode()


def _strong(secret: bytes) -> bytes:
    problem = _weakness(secret)
    if problem is not None:
        raise WeakSecret(problem)
    return secret


def _weakness(secret: bytes) -> str | None:
    """Say why a secret can be guessed, without quoting it."""
    if len(secret) < _LEAST_BYTES:
        return f"the secret has less than {_LEAST_BYTES} bytes"
    if len(set(secret)) < _LEAST_DISTINCT_BYTES:
        return "the secret repeats a few characters"
    if secret in (secret + secret)[1:-1]:
        return "the secret repeats one part"
    steps = sum(after - before == 1 for before, after in pairwise(secret))
    if 2 * steps > len(secret):
        return "the secret counts up the alphabet"
    if any(placeholder in secret.lower() for placeholder in _PLACEHOLDERS):
        return "the secret is a placeholder"
    return None


def _create(path: Path) -> None:
    """Write a new secret, whole and durable or not at all; of two processes one wins.

    Threat: written in place, a second process could read half of it and work with that.
    """
    draft = _draft(path, generate())
    try:
        _link_new(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _draft(path: Path, content: bytes) -> Path:
    """Write a file beside `path`, private and durable."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _link_new(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
