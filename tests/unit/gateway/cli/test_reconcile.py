"""`tollgate reconcile` on a database and folders without a server."""

from pathlib import Path

import pytest

from tests.unit.gateway.cli.terminal import Terminal


def test_empty_books_agree(migrated: Terminal) -> None:
    """One line says what was compared."""
    done = migrated.run("reconcile")
    assert (done.status, done.out.rpartition(": ")[2]) == (
        0,
        "0 records in journals; 0 differences, 0 explained\n",
    )


def test_log_of_another_form_is_told_with_its_line(migrated: Terminal, tmp_path: Path) -> None:
    """It would otherwise pass for one in which nobody was answered."""
    log = tmp_path / "access.log"
    log.write_text("nothing of ours\n")
    done = migrated.run("reconcile", "--log", str(log))
    assert (done.status, done.err) == (
        1,
        f"tollgate: {log}: line 1 is none of Nginx's log in our form\n",
    )


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_moment_that_is_none_is_refused(migrated: Terminal, option: str) -> None:
    """The message names the option."""
    done = migrated.run("reconcile", option, "yesterday")
    assert (done.status, option in done.err) == (1, True)
