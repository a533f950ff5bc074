"""Find the pepper of API keys, make one at the first start, and refuse one that can be guessed."""

import os
import secrets
from itertools import pairwise
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from auth.errors import SecretMissing, WeakSecret

_LEAST_BYTES: Final = 32
_LEAST_DISTINCT_BYTES: Final = 10
_GENERATED_BYTES: Final = 48
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


def load_pepper(value: SecretStr | None, path: Path, *, may_create: bool) -> bytes:
    """Return the pepper: `value`, else what `path` holds, else a new one written there.

    Losing it makes every key worthless, so a new one is on the disk before it is used.

    Threat: with a guessable pepper, whoever copies the database can test guesses offline.

    Raises:
        SecretMissing: there is none and none may be made.
        WeakSecret: it can be guessed.
    """
    if value is not None:
        return _strong(value.get_secret_value().encode("utf-8", "surrogateescape").strip())
    if may_create and not path.exists():
        _create(path)
    try:
        return _strong(path.read_bytes().strip())
    except FileNotFoundError:
        raise SecretMissing(path) from None


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
    """Write a new pepper, whole and durable or not at all; of two processes one wins.

    Threat: written in place, a second process could read half of it and sign with that.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_urlsafe(_GENERATED_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        _link_new(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


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
