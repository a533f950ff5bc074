"""`tollgate periods` and `tollgate usage correct`, on the records of a server that does not run."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.moments import microseconds
from gateway.usage.periods import period_of
from tests.months import deliver_records
from tests.unit.gateway.cli.terminal import Finished, Terminal
from tests.unit.gateway.usage.conftest import record_of

LAST_US = microseconds(datetime.now(UTC).replace(day=1, hour=0) - timedelta(days=1))
LAST = str(period_of(LAST_US))
NOW = str(datetime.now(UTC).year * 100 + datetime.now(UTC).month)


def database_of(terminal: Terminal) -> Path:
    """Find the records of a terminal."""
    return Path(terminal.settings["TOLLGATE_DATA_DIR"]) / "tollgate.db"


def use_last_month(terminal: Terminal) -> None:
    """Put records of last month on the bill."""
    records = [record_of(name, occurred_at_us=LAST_US, rows=2, units=3) for name in "abc"]
    deliver_records(f"sqlite:///{database_of(terminal)}", records)


def change(terminal: Terminal, *statements: str) -> None:
    """Do something to the database behind the server's back."""
    with sqlite3.connect(database_of(terminal)) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def closed(terminal: Terminal) -> Finished:
    """Use last month and close it."""
    use_last_month(terminal)
    done = terminal.run("periods", "close", LAST, "--json")
    assert done.status == 0, done.err
    return done


def test_month_is_closed_shown_and_verified(migrated: Terminal) -> None:
    """From the command line alone."""
    document = closed(migrated).document
    assert (document["state"], document["units"]) == ("closed", 9)
    assert migrated.run("periods", "show", LAST, "--json").document == document
    shown = migrated.run("periods", "show", LAST)
    assert f"root          {document['root']}" in shown.out
    assert "ten_a      housing  3         6     9" in shown.out
    verified = migrated.run("periods", "verify")
    assert verified.out == (
        f"{LAST}: 3 records are as they were closed; the root is {document['root']}\n"
    )
    noted = migrated.run("periods", "verify", LAST, "--root", document["root"], "--json")
    assert noted.document["data"][0]["digest"] == document["digest"]
    listed = migrated.run("periods", "list", "--json").document["data"]
    assert [one["state"] for one in listed] == ["closed", "open"]


def test_changed_record_is_named(migrated: Terminal) -> None:
    """Exit 1, with the number and the request."""
    closed(migrated)
    change(
        migrated,
        "DROP TRIGGER usage_records_update",
        "UPDATE usage_records SET units = 0 WHERE request_id = 'b'",
    )
    found = migrated.run("periods", "verify")
    assert found.status == 1
    assert found.err.endswith("record 2 (request b) was changed\n")


def test_other_root_than_was_noted_is_told(migrated: Terminal) -> None:
    """Even where everything in the database fits."""
    closed(migrated)
    found = migrated.run("periods", "verify", LAST, "--root", "0" * 64)
    assert found.status == 1
    assert "not the one that was noted" in found.err


def test_changed_statement_is_told(migrated: Terminal) -> None:
    """When it was closed is in its digest."""
    closed(migrated)
    change(
        migrated,
        "DROP TRIGGER usage_periods_update",
        "UPDATE usage_periods SET closed_at_us = closed_at_us + 1",
    )
    found = migrated.run("periods", "verify")
    assert (found.status, "its statement is another one" in found.err) == (1, True)


def test_journal_that_is_lost_is_named_with_the_way_out(migrated: Terminal) -> None:
    """It does not wait longer than it was told, and goes on when it is called again."""
    use_last_month(migrated)
    change(migrated, "INSERT INTO usage_journals VALUES ('lost', 1, 0, false)")
    waiting = migrated.run("periods", "close", LAST, "--wait", "0")
    assert waiting.status == 1
    assert "tollgate usage forget lost" in waiting.err
    assert migrated.run("periods", "list", "--json").document["data"][0]["state"] == "closing"
    assert migrated.run("usage", "forget", "lost").status == 0
    assert migrated.run("periods", "close", LAST, "--json").document["record_count"] == 3


def test_what_cannot_be_done_is_one_line(migrated: Terminal) -> None:
    """No month, a month that runs, one that is not closed."""
    for words, line in (
        (("close", "2026"), "tollgate: there is no such month: it is written like 202611\n"),
        (("close", NOW), f"tollgate: {NOW} is not over\n"),
        (("verify", NOW), f"tollgate: {NOW} is not closed\n"),
        (("prune", LAST), f"tollgate: {LAST} is not closed\n"),
    ):
        done = migrated.run("periods", *words)
        assert (done.status, done.err) == (1, line)


def test_bill_is_corrected(migrated: Terminal) -> None:
    """A signed record in this month; the same id again does nothing."""
    closed(migrated)
    words = ("usage", "correct", "a", "--rows", "-1", "--units", "-2", "--id", "c1")
    first = migrated.run(*words, "--reason", "wrong", "--json")
    assert first.document["period"] == int(NOW)
    assert migrated.run(*words, "--reason", "wrong", "--json").document == first.document
    too_much = migrated.run(
        "usage", "correct", "a", "--rows", "-2", "--reason", "wrong", "--id", "c2"
    )
    assert too_much.status == 1
    assert "1 rows and 1 units are left" in too_much.err
    lines = migrated.run("usage", "--bucket", "month", "--json").document["data"]
    assert [(line["rows"], line["units"]) for line in lines] == [(-1, -2)]


def test_month_that_a_billing_system_lacks_is_pruned_by_force_alone(migrated: Terminal) -> None:
    """One line that names it, and the way out."""
    closed(migrated)
    change(migrated, "INSERT INTO usage_deliveries VALUES ('slow', 2, 2, 0, '', 0)")
    refused = migrated.run("periods", "prune", LAST)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "tollgate usage send --to slow --again" in refused.err
    assert migrated.run("periods", "prune", LAST, "--force").status == 0


def test_pruned_month_keeps_its_statement(migrated: Terminal) -> None:
    """And says so when it is verified."""
    document = closed(migrated).document
    assert migrated.run("periods", "prune", LAST).status == 0
    pruned = migrated.run("periods", "show", LAST, "--json").document
    assert pruned["statement"] == document["statement"]
    assert "its records were pruned" in migrated.run("periods", "verify").out
