"""A backup is whole or not there, and never in the way."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.backup import make_backup
from gateway.errors import BackupFailed
from gateway.settings import Settings
from gateway.usage.journal import Journal
from gateway.usage.segment_file import log_of
from tests.unit.gateway.usage.conftest import record_of


@pytest.fixture
def settings(tmp_path: Path, migrated_file: Path) -> Settings:
    """Settings of a data folder with records, secrets and no journal yet."""
    data_dir = tmp_path / "var"
    (data_dir / "journals").mkdir(parents=True)
    (data_dir / "tollgate.db").write_bytes(migrated_file.read_bytes())
    (data_dir / "key_pepper").write_text("a pepper")
    (data_dir / "sealing_key").write_text("a key")
    return Settings(data_dir=data_dir)


async def test_everything_that_cannot_be_made_again_is_copied(
    settings: Settings, tmp_path: Path
) -> None:
    """Also from a journal that a worker holds and writes to."""
    journal = Journal(settings.data_dir / "journals" / "worker-0.db", max_bytes=1 << 20)
    await journal.open()
    await journal.record(record_of("r"))
    backup = make_backup(settings, tmp_path / "backup")
    await journal.close()
    assert backup.files == ("journals/worker-0.db", "tollgate.db", "key_pepper", "sealing_key")
    copied = Journal(tmp_path / "backup" / "journals" / "worker-0.db", max_bytes=1 << 20)
    await copied.open()
    segments = await copied.read(0, 10)
    await copied.close()
    assert segments is not None
    assert segments.record_count == 1


def test_secrets_of_settings_are_told_to_be_missing(settings: Settings, tmp_path: Path) -> None:
    """Whether the data folder has none or another one; one that it has too is in the copy."""
    (settings.data_dir / "sealing_key").unlink()
    given = {"key_pepper": SecretStr("another pepper"), "sealing_key": SecretStr("a key")}
    backup = make_backup(settings.model_copy(update=given), tmp_path / "backup")
    assert backup.secrets_elsewhere == ("key_pepper", "sealing_key")
    same = settings.model_copy(update={"key_pepper": SecretStr("a pepper")})
    assert make_backup(same, tmp_path / "again").secrets_elsewhere == ()


async def test_damaged_log_of_a_journal_is_left_for_who_saves_it(
    settings: Settings, tmp_path: Path
) -> None:
    """To copy the journal, SQLite would write what it believes of the log into it."""
    journal = Journal(tmp_path / "beside.db", max_bytes=1 << 20)
    await journal.open()
    for number in range(5):
        await journal.record(record_of(f"r{number}"))
    path = settings.data_dir / "journals" / "worker-0.db"
    path.write_bytes(journal.path.read_bytes())
    log = log_of(journal.path).read_bytes()
    await journal.close()
    log_of(path).write_bytes(changed := log.replace(b'"r1"', b'"r7"', 1))
    with pytest.raises(BackupFailed, match="tollgate usage salvage"):
        make_backup(settings, tmp_path / "backup")
    assert log_of(path).read_bytes() == changed
    assert not (tmp_path / "backup").exists()


def test_folder_that_is_there_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    """An older backup is never overwritten."""
    (tmp_path / "backup").mkdir()
    with pytest.raises(BackupFailed, match="there already"):
        make_backup(settings, tmp_path / "backup")


def test_failed_backup_has_not_the_name_of_one(settings: Settings, tmp_path: Path) -> None:
    """What is not whole is not found by those who look for backups."""
    (settings.data_dir / "tollgate.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BackupFailed, match="cannot be copied"):
        make_backup(settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_records_in_postgresql_are_left_to_its_tools(settings: Settings, tmp_path: Path) -> None:
    """The journals and the secrets are copied all the same."""
    elsewhere = settings.model_copy(
        update={"database_url": SecretStr("postgresql://there/records")}
    )
    backup = make_backup(elsewhere, tmp_path / "backup")
    assert (backup.has_records, backup.files) == (False, ("key_pepper", "sealing_key"))


def test_records_elsewhere_are_found(settings: Settings, tmp_path: Path) -> None:
    """A SQLite file that the setting names is the one that is copied."""
    other = tmp_path / "other.db"
    other.write_bytes((settings.data_dir / "tollgate.db").read_bytes())
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mark (id INTEGER)")
    elsewhere = settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{other}")})
    make_backup(elsewhere, tmp_path / "backup")
    with contextlib.closing(sqlite3.connect(tmp_path / "backup" / "tollgate.db")) as copy:
        assert copy.execute("SELECT count(*) FROM mark").fetchone() == (0,)


def test_copies_are_for_their_owner_alone(settings: Settings, tmp_path: Path) -> None:
    """The journals' folder is made private, whatever the umask."""
    make_backup(settings, tmp_path / "backup")
    assert (tmp_path / "backup" / "journals").stat().st_mode & 0o077 == 0
