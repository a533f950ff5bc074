"""What the product writes is for the server's user alone, whatever the shell says."""

import stat
from pathlib import Path

import pytest

from tests.unit.gateway.cli.terminal import Terminal

ANYBODY = 0


def modes(folder: Path) -> dict[str, str]:
    """List the modes of a folder and of all in it."""
    found = [folder, *folder.rglob("*")]
    return {
        path.relative_to(folder.parent).as_posix(): oct(stat.S_IMODE(path.stat().st_mode))
        for path in found
    }


def data_dir(terminal: Terminal) -> Path:
    """Name the data folder of a terminal."""
    return Path(terminal.settings["TOLLGATE_DATA_DIR"])


def test_migrate_makes_a_private_database(terminal: Terminal) -> None:
    """SQLite asks for 0644."""
    assert terminal.run_apart("migrate", umask=ANYBODY).status == 0
    assert modes(data_dir(terminal)) == {"var": "0o700", "var/tollgate.db": "0o600"}


def test_commands_make_private_files(terminal: Terminal) -> None:
    """The secrets and the counter, too."""
    terminal.run_apart("migrate", umask=ANYBODY)
    terminal.run_apart("keys", "list", "platform", umask=ANYBODY)
    found = modes(data_dir(terminal))
    assert {"var/key_pepper", "var/sealing_key", "var/generation"} <= found.keys()
    assert set(found.values()) == {"0o700", "0o600"}


def test_open_folder_of_ours_is_tightened(migrated: Terminal) -> None:
    """An earlier version, or a copy, may have left it open."""
    folder = data_dir(migrated)
    (folder / "journals").mkdir()
    (folder / "journals/worker-0.db").touch()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    assert migrated.run_apart("plans", "list").err == ""
    assert set(modes(folder).values()) == {"0o700", "0o600"}


@pytest.mark.parametrize("name", ["notes.txt", "other"])
def test_folder_that_is_shared_is_left_alone(terminal: Terminal, name: str) -> None:
    """Its mode may be wanted by others; our files in it are private all the same."""
    folder = data_dir(terminal)
    folder.mkdir()
    (folder / name).touch()
    folder.chmod(0o755)
    made = terminal.run_apart("migrate")
    assert made.status == 0
    assert made.err.count("0700") == 1
    found = modes(folder)
    assert (found["var"], found["var/tollgate.db"]) == ("0o755", "0o600")
