"""`tollgate audit`: the log of changes from the command line."""

import contextlib
import sqlite3
from pathlib import Path

from tests.unit.gateway.cli.terminal import Terminal


def changed(terminal: Terminal) -> Terminal:
    """Make two changes; the first token of the installation is one as well."""
    for name in ("one", "two"):
        assert terminal.run("plans", "create", "--name", name).status == 0
    return terminal


def cut(terminal: Terminal, statement: str) -> None:
    """Work on the database as somebody who owns it."""
    path = Path(terminal.settings["TOLLGATE_DATA_DIR"]) / "tollgate.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER audit_events_delete")
        database.execute("DROP TRIGGER audit_events_update")
        database.execute(statement)
        database.commit()


def test_log_names_the_user_who_ran_the_command(migrated: Terminal) -> None:
    """As the system knows him."""
    listed = changed(migrated).run("audit", "list", "--json").document["data"]
    assert [entry["action"] for entry in listed] == [
        "bootstrap.issue",
        "plan.create",
        "plan.create",
    ]
    assert listed[0]["principal"]["kind"] == "command"
    assert listed[0]["principal"]["id"]


def test_table_is_for_people(migrated: Terminal) -> None:
    """One line for each change."""
    lines = changed(migrated).run("audit", "list", "--limit", "1").out.splitlines()
    assert lines[0].split() == ["SEQUENCE", "OCCURRED_AT", "BY", "ACTION", "TARGET", "TENANT_ID"]
    assert "bootstrap.issue" in lines[1]
    assert len(lines) == 2


def test_whole_log_is_verified_and_prints_its_head(migrated: Terminal) -> None:
    """Which is good for the next run."""
    head = changed(migrated).run("audit", "verify", "--json").document["head"]
    assert head.startswith("3:")
    again = migrated.run("audit", "verify", "--head", head)
    assert (again.status, again.out.startswith("3 entries are as they were written")) == (0, True)


def test_tampering_is_one_line_and_exit_1(migrated: Terminal) -> None:
    """It names the first entry that does not fit."""
    cut(changed(migrated), "UPDATE audit_events SET target = 'another' WHERE sequence = 2")
    refused = migrated.run("audit", "verify")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("tollgate: the audit log is broken at 2: ")


def test_cut_log_is_found_by_the_noted_head(migrated: Terminal) -> None:
    """Alone it would be whole."""
    head = changed(migrated).run("audit", "verify", "--json").document["head"]
    cut(migrated, "DELETE FROM audit_events WHERE sequence = 3")
    assert migrated.run("audit", "verify").status == 0
    assert "it ended at 3" in migrated.run("audit", "verify", "--head", head).err


def test_log_is_read_without_the_servers_secrets(migrated: Terminal) -> None:
    """A copy of the database is enough, and no secret is made for it."""
    assert migrated.run("audit", "verify").status == 0
    data_dir = Path(migrated.settings["TOLLGATE_DATA_DIR"])
    assert [path.name for path in data_dir.iterdir() if "key" in path.name] == []
