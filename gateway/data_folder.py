"""Keep the data folder to the server's user alone.

Threat: the database holds digests and the bill, the folder holds secrets and the demo's keys.
Whoever on the machine can read them can test guesses of keys and learn every customer's business.
"""

import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.errors import StartRefused

JOURNALS: Final = "journals"
PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_OTHERS: Final = 0o077
_OWN_NAMES: Final = (
    "tollgate.db",
    "key_pepper",
    "sealing_key",
    "generation",
    "server.lock",
    JOURNALS,
    "vetted",
    "demo.json",
    ".demo.json",
)

logger = logging.getLogger(__name__)


def keep_new_files_private() -> None:
    """Let nothing that this process makes from here on be readable by others.

    SQLite makes its files with mode 0644, whoever asks; only the umask stands above that.
    """
    os.umask(_OTHERS)


def prepare_data_dir(path: Path) -> None:
    """Make the data folder, or tighten the one that is there if it is ours to tighten.

    A folder that holds anything but what Tollgate makes may be shared on purpose, so its mode is
    left alone with a warning; our own files in it are private all the same.

    Raises:
        StartRefused: it cannot be made, read or written.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"the data folder {path} cannot be made: {error.strerror}") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StartRefused(f"the data folder {path} cannot be read and written")
    entries = list(path.iterdir())
    ours = [entry for entry in entries if entry.name.startswith(_OWN_NAMES)]
    if path.stat().st_mode & _OTHERS:
        _tighten_folder(path, is_ours=len(ours) == len(entries))
    for entry in [*ours, *(path / JOURNALS).glob("*")]:
        _tighten(entry)


@contextlib.contextmanager
def claimed_data_dir(path: Path) -> Iterator[None]:
    """Keep every other server out of the data folder for the length of a block.

    The lock is the supervisor's alone: it goes with the process, however that ends. What its
    workers need for themselves, they lock themselves.

    Raises:
        StartRefused: another server works there, or the folder cannot be used.
    """
    prepare_data_dir(path)
    lock = os.open(path / "server.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StartRefused(f"another server works in {path}: one works per data folder") from None
    try:
        yield
    finally:
        os.close(lock)


def _tighten_folder(path: Path, *, is_ours: bool) -> None:
    if is_ours and path.stat().st_uid == os.geteuid():
        path.chmod(PRIVATE_FOLDER)
        return
    logger.warning(
        "others have access to the data folder %s, and it is not Tollgate's alone: "
        "give the server a folder of its own, with mode 0700",
        path,
    )


def _tighten(path: Path) -> None:
    """Take everything from others; what is not ours or went away meanwhile stays as it is."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not found.st_mode & _OTHERS or found.st_uid != os.geteuid():
            return
        if stat.S_ISDIR(found.st_mode):
            path.chmod(PRIVATE_FOLDER)
        elif stat.S_ISREG(found.st_mode):
            path.chmod(_PRIVATE_FILE)
