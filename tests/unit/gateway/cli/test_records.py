"""Plans, tenants and keys from the command line."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.auth.jwks import make_pair
from tests.unit.gateway.cli.terminal import Terminal


def test_first_admin_key_is_made_without_a_server(migrated: Terminal) -> None:
    """A new installation gets its first credential from the command line."""
    made = migrated.run(
        "keys", "create", "platform", "--name", "admin", "--scopes", "all", "--json"
    )
    assert made.status == 0
    assert made.document["api_key"].startswith("tg_live_")
    assert "tenants:write" in made.document["scopes"]
    listed = migrated.run("keys", "list", "platform", "--json").document["data"]
    assert [key["key_id"] for key in listed] == [made.document["key_id"]]


def test_customer_is_set_up_from_plan_to_key(migrated: Terminal) -> None:
    """The three commands give what the HTTP operations give."""
    plan = migrated.run(
        "plans",
        "create",
        "--name",
        "starter",
        "--burst",
        "5",
        "--requests-per-second",
        "2",
        "--json",
    ).document
    tenant = migrated.run(
        "tenants",
        "create",
        "--name",
        "Acme",
        "--plan",
        plan["plan_id"],
        "--models",
        "double",
        "--json",
    ).document
    assert (tenant["models"], tenant["status"]) == (["double"], "active")
    key = migrated.run(
        "keys", "create", tenant["tenant_id"], "--name", "production", "--test", "--json"
    ).document
    assert key["api_key"].startswith("tg_test_")
    shown = migrated.run("keys", "show", tenant["tenant_id"], key["key_id"])
    assert key["api_key"] not in shown.out


def test_tables_are_for_people(migrated: Terminal) -> None:
    """Without --json a list is a table with a heading."""
    migrated.run("plans", "create", "--name", "the name of a plan")
    lines = migrated.run("plans", "list").out.splitlines()
    assert lines[0].split() == [
        "PLAN_ID",
        "REQUESTS_PER_SECOND",
        "BURST",
        "UNITS_PER_MONTH",
        "MAX_IN_FLIGHT",
        "WEIGHT",
        "NAME",
    ]
    assert lines[1].endswith("the name of a plan")


def test_report_of_nothing_is_empty(migrated: Terminal) -> None:
    """The bill can be read before anything was sold."""
    report = migrated.run("usage", "--group-by", "tenant,model", "--json")
    assert report.status == 0
    assert report.document["data"] == []


def test_journals_of_nobody_are_an_empty_list(migrated: Terminal) -> None:
    """Before the first start the ledger knows none."""
    assert migrated.run("usage", "journals", "--json").document["data"] == []
    assert migrated.run("usage", "journals").out.startswith("JOURNAL_ID")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("usage", "forget", "nobody"), "no such journal"),
        (("usage", "salvage", "nowhere.db"), "there is no such file"),
        (("tenants", "show", "ten_unknown"), "no such tenant"),
        (("keys", "create", "platform", "--name", "x", "--scopes", "fly"), "scopes: must be some"),
        (
            ("keys", "create", "platform", "--name", "x", "--expires-at", "soon"),
            "--expires-at must",
        ),
        (("usage", "--from", "soon"), "--from must be a date"),
        (("usage", "--to", "2026-13-01"), "--to must be a date"),
        (("plans", "create", "--name", "x", "--burst", "5"), "needs requests_per_second"),
        (("tenants", "update", "platform"), "name at least one"),
        (("usage", "--from", "2026-11-02", "--to", "2026-11-01"), ""),
        (("usage", "--group-by", "colour"), "group_by must be"),
    ],
)
def test_refusal_is_one_line_and_exit_1(
    migrated: Terminal, arguments: tuple[str, ...], reason: str
) -> None:
    """What a user did wrong is said in one line, never as a traceback."""
    refused = migrated.run(*arguments)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("tollgate: ")
    assert refused.err.count("\n") == 1
    assert reason in refused.err


@pytest.mark.parametrize("arguments", [("plans", "create"), ("no-such-command",), ("usage", "-x")])
def test_wrong_call_is_exit_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    """A command that was called wrongly says how to call it."""
    refused = terminal.run(*arguments)
    assert refused.status == 2
    assert "Traceback" not in refused.err


def test_database_that_was_never_made_names_the_command(terminal: Terminal) -> None:
    """The remedy stands in the message."""
    refused = terminal.run("plans", "list")
    assert refused.status == 1
    assert refused.err == "tollgate: the database is empty: run `tollgate migrate`\n"


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("serve",),
        ("demo",),
        ("migrate",),
        ("check",),
        ("usage",),
        ("backup",),
        ("usage", "journals"),
        ("usage", "conflicts"),
        ("usage", "forget"),
        ("usage", "salvage"),
        ("models", "list"),
        ("plans", "create"),
        ("tenants", "update"),
        ("keys", "create"),
        ("keys", "rotate"),
        ("keys", "revoke"),
    ],
)
def test_help_is_there(terminal: Terminal, command: tuple[str, ...]) -> None:
    """Every command explains itself, and knows --json."""
    shown = terminal.run(*command, "--help")
    assert shown.status == 0
    assert not command or "--json" in shown.out


def test_backup_without_the_secrets_says_so(migrated: Terminal, tmp_path: Path) -> None:
    """On stderr, or nobody would know before the restore, when it is too late."""
    given = Terminal(migrated.settings | {"TOLLGATE_KEY_PEPPER": "q7" * 20})
    done = given.run("backup", str(tmp_path / "backup"))
    assert done.status == 0
    assert done.err.startswith("not in the copy: key_pepper, which a setting gives")
    assert migrated.run("backup", str(tmp_path / "other")).err == ""


def test_database_of_a_newer_version_is_left_alone(migrated: Terminal) -> None:
    """An old program neither migrates nor serves what it does not know."""
    path = Path(migrated.settings["TOLLGATE_DATA_DIR"]) / "tollgate.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    for command in (("migrate",), ("plans", "list")):
        refused = migrated.run(*command)
        assert refused.status == 1
        assert "newer Tollgate" in refused.err


def test_lost_pepper_is_not_replaced_in_silence(migrated: Terminal) -> None:
    """With a new pepper every stored key would stop working."""
    migrated.run("keys", "create", "platform", "--name", "admin", "--scopes", "all")
    (Path(migrated.settings["TOLLGATE_DATA_DIR"]) / "key_pepper").unlink()
    refused = migrated.run("keys", "list", "platform")
    assert refused.status == 1
    assert "TOLLGATE_KEY_PEPPER" in refused.err


@pytest.mark.parametrize("command", [("migrate",), ("plans", "list"), ("usage",)])
@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://there/db", "mysql://there/db", "sqlite+pysqlite://"]
)
def test_other_databases_are_refused_in_one_line(
    terminal: Terminal, url: str, command: tuple[str, ...]
) -> None:
    """Their drivers are not there, which is no reason for a traceback."""
    settings = {**terminal.settings, "TOLLGATE_DATABASE_URL": url}
    refused = Terminal(settings).run(*command)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("tollgate: TOLLGATE_DATABASE_URL: ")
    assert "PostgreSQL" in refused.err


@pytest.mark.parametrize("command", [("migrate",), ("plans", "list"), ("usage",), ("serve",)])
def test_postgresql_that_is_away_is_one_line(terminal: Terminal, command: tuple[str, ...]) -> None:
    """It names the place and not the password."""
    url = "postgres://tollgate:the-password@127.0.0.1:1/records"
    refused = Terminal({**terminal.settings, "TOLLGATE_DATABASE_URL": url}).run(*command)
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith("tollgate: the database cannot be used: ")
    assert "127.0.0.1" in refused.err
    assert "the-password" not in refused.err


@pytest.mark.parametrize("url", ["nonsense", "fax://there"])
def test_database_url_that_means_nothing_is_one_line(terminal: Terminal, url: str) -> None:
    """The message names the setting."""
    settings = {**terminal.settings, "TOLLGATE_DATABASE_URL": url}
    refused = Terminal(settings).run("migrate")
    assert refused.status == 1
    assert refused.err.startswith("tollgate: TOLLGATE_DATABASE_URL: ")


PEPPERS = ("8RGrSvHi3LF7Ee2bhqdQ0MFvTzHyWfQp", "pZ1xN6uVYt0KfWc9sLrB4mJgEo7DaXhi")


@pytest.mark.parametrize("command", [("keys", "list", "platform"), ("serve", "--port", "0")])
def test_another_pepper_is_refused_in_one_line(
    migrated: Terminal, command: tuple[str, ...]
) -> None:
    """Every key would get 401 under it, and nobody would know why."""
    for pepper in PEPPERS:
        settings = {**migrated.settings, "TOLLGATE_KEY_PEPPER": pepper}
        made = Terminal(settings).run("keys", "create", "platform", "--name", "admin")
    assert made.status == 1
    refused = Terminal(settings).run_apart(*command)
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    for word in ("TOLLGATE_KEY_PEPPER", "key_pepper", "made with"):
        assert word in refused.err


def test_weak_pepper_names_its_source(migrated: Terminal) -> None:
    """The setting, or the file."""
    settings = {**migrated.settings, "TOLLGATE_KEY_PEPPER": "changeme"}
    refused = Terminal(settings).run("keys", "list", "platform")
    assert refused.err.startswith("tollgate: TOLLGATE_KEY_PEPPER: the secret has less than 32")
    path = Path(migrated.settings["TOLLGATE_DATA_DIR"]) / "key_pepper"
    path.write_text("changeme")
    refused = migrated.run("keys", "list", "platform")
    assert refused.err.startswith(f"tollgate: {path}: the secret has less than 32")


def test_misspelt_setting_is_one_line_on_stderr(terminal: Terminal) -> None:
    """And nothing is refused for it, since another version may know it."""
    settings = {**terminal.settings, "TOLLGATE_PROT": "9000"}
    done = Terminal(settings).run_apart("migrate", "--json")
    assert (done.status, done.document) == (0, {"migrated": True})
    assert done.err.count("TOLLGATE_PROT is no setting") == 1
    assert "TOLLGATE_PORT" in done.err


def test_client_is_made_rotated_and_revoked(migrated: Terminal) -> None:
    """From the command line, with its secret shown when it is made and never again."""
    made = migrated.run(
        "clients", "create", "platform", "--name", "billing", "--scopes", "usage:read:all", "--json"
    ).document
    client_id = made["client_id"]
    assert made["client_secret"].startswith("tg_clnt_")
    shown = migrated.run("clients", "show", "platform", client_id)
    assert made["client_secret"] not in shown.out
    rotated = migrated.run("clients", "rotate", "platform", client_id, "--json").document
    assert rotated["client_secret"] not in ("", made["client_secret"])
    assert migrated.run("clients", "revoke", "platform", client_id).status == 0
    [listed] = migrated.run("clients", "list", "platform", "--json").document["data"]
    assert listed["revoked_at"] is not None


def test_client_that_signs_brings_its_keys_in_a_file(migrated: Terminal, tmp_path: Path) -> None:
    """And is told of a file that holds none."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(make_pair().jwks(kid="mine")))
    words = ("clients", "create", "platform", "--name", "c", "--scopes", "predict", "--jwks")
    assert migrated.run(*words, str(path), "--json").document["key_ids"] == ["mine"]
    path.write_text("[]")
    refused = migrated.run(*words, str(path))
    assert (refused.status, "jwks" in refused.err) == (1, True)
