"""Copy what cannot be made again, beside running servers: journals, the SQLite records, secrets.

The journals are copied before the records. A record that is delivered meanwhile is then in both
copies, and the ledger passes over what it has; in the other order it could be in neither.
"""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from sqlalchemy import make_url

from gateway.data_folder import JOURNALS, PRIVATE_FOLDER
from gateway.errors import BackupFailed
from gateway.settings import Settings
from gateway.usage.errors import JournalDamaged, JournalInUse
from gateway.usage.segment_file import check_log, locked

RECORDS: Final = "tollgate.db"
SECRETS: Final = ("key_pepper", "sealing_key")


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied."""

    folder: Path
    files: tuple[str, ...]
    has_records: bool
    """False where they are in PostgreSQL, which has tools of its own."""

    secrets_elsewhere: tuple[str, ...]
    """Secrets in use that are not in the data folder, and so not in the copy."""


def make_backup(settings: Settings, folder: Path) -> Backup:
    """Copy the data folder into a new folder, which appears when all of it is there and on disk.

    Raises:
        BackupFailed: the folder is there already, or a database cannot be copied.
        OSError: the disk does not take it.
    """
    if folder.exists():
        raise BackupFailed(f"{folder} is there already; a backup gets a new folder")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    (unfinished / JOURNALS).mkdir(mode=PRIVATE_FOLDER, parents=True)
    files = []
    for journal in sorted((settings.data_dir / JOURNALS).glob("worker-*.db")):
        files.append(f"{JOURNALS}/{journal.name}")
        _check_journal(journal)
        _copy_database(journal, unfinished / files[-1])
    records = _records_file(settings)
    if records is not None:
        files.append(RECORDS)
        _copy_database(records, unfinished / RECORDS)
    for secret in SECRETS:
        if (settings.data_dir / secret).exists():
            files.append(secret)
            shutil.copyfile(settings.data_dir / secret, unfinished / secret)
    for name in (*files, JOURNALS, "."):
        _sync(unfinished / name)
    unfinished.rename(folder)
    _sync(folder.parent)
    given = {"key_pepper": settings.key_pepper, "sealing_key": settings.sealing_key}
    elsewhere = (name for name in SECRETS if _is_elsewhere(settings.data_dir / name, given[name]))
    return Backup(folder, tuple(files), records is not None, tuple(elsewhere))


def _is_elsewhere(path: Path, given: SecretStr | None) -> bool:
    """Tell whether a setting gives another secret than the data folder."""
    if given is None:
        return False
    return not path.exists() or path.read_text("utf-8").strip() != given.get_secret_value()


def _records_file(settings: Settings) -> Path | None:
    url = make_url(settings.resolved_database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database)


def _check_journal(path: Path) -> None:
    """Pass if the log of a journal that nobody holds is what was written.

    Raises:
        BackupFailed: it is damaged, and to copy it would throw away what can be saved of it.
    """
    try:
        with contextlib.suppress(JournalInUse), locked(path):
            check_log(path)
    except JournalDamaged as error:
        raise BackupFailed(str(error)) from error


def _copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as of one moment, while others write to it, and check the copy.

    Raises:
        BackupFailed: it cannot be read, or the copy is damaged.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True)) as origin,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            origin.backup(copy)
            [state] = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} cannot be copied: {error}") from error
    if state != "ok":
        raise BackupFailed(f"the copy of {source} is damaged: {state}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
