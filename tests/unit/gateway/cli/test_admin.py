"""Admins from the operator's shell: whoever has it can always get back in."""

import io
import re

import pytest

from tests.unit.gateway.cli.terminal import Finished, Terminal

PASSWORD = "plum kettle on the roof"
_TOKEN = re.compile(r"tg_boot_\w{16}_\w{38}")


@pytest.fixture
def shell(terminal: Terminal) -> Terminal:
    """A terminal on a migrated database, with the quickest hash that a server takes."""
    quick = Terminal(terminal.settings | {"TOLLGATE_PASSWORD_MEMORY_KIBIBYTES": "12288"})
    assert quick.run("migrate").status == 0
    return quick


def run_with(shell: Terminal, typed: str, *words: str) -> Finished:
    """Run a command that reads a line from a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        return shell.run(*words, "--password-stdin", "--json")


def make_ada(shell: Terminal) -> Finished:
    """Create an admin."""
    return run_with(shell, PASSWORD, "admin", "create", "Ada")


def test_admin_is_made_without_a_token(shell: Terminal) -> None:
    """Whoever reaches the records needs none; predictions are not among all scopes."""
    made = make_ada(shell).document
    assert (made["username"], made["has_totp"]) == ("ada", False)
    assert "tenants:write" in made["scopes"]
    assert "predict" not in made["scopes"]
    listed = shell.run("admin", "list", "--json").document["data"]
    assert [admin["admin_id"] for admin in listed] == [made["admin_id"]]


@pytest.mark.parametrize("password", ["", "too short", "tollgate-ada-2026"])
def test_weak_password_is_refused_in_one_line(shell: Terminal, password: str) -> None:
    """As over HTTP, and without quoting it."""
    refused = run_with(shell, password, "admin", "create", "ada")
    assert refused.status == 1
    assert refused.err.startswith("tollgate: password: ")
    assert not password or password not in refused.err


def test_admin_is_disabled_enabled_and_given_a_password(shell: Terminal) -> None:
    """By the name that it logs in with."""
    make_ada(shell)
    assert shell.run("admin", "disable", "ada", "--json").document["disabled_at"] is not None
    assert shell.run("admin", "enable", "ada", "--json").document["disabled_at"] is None
    before = shell.run("admin", "list", "--json").document["data"][0]["password_changed_at"]
    changed = run_with(shell, "seven green bicycles", "admin", "password", "ada").document
    assert changed["password_changed_at"] > before
    unknown = shell.run("admin", "disable", "eve")
    assert (unknown.status, unknown.err) == (1, "tollgate: there is no such admin\n")


def test_lost_authenticator_is_taken_out(shell: Terminal) -> None:
    """Whether there was one or not."""
    make_ada(shell)
    assert not shell.run("admin", "totp", "ada", "--remove", "--json").document["has_totp"]


def test_device_token_is_printed(shell: Terminal) -> None:
    """For a log-in while somebody guesses; for a name that exists."""
    make_ada(shell)
    printed = shell.run("admin", "device", "ada")
    assert re.fullmatch(r"[\w-]{60,512}\n", printed.out)
    assert shell.run("admin", "device", "eve").status == 1


def test_first_token_is_shown_once(terminal: Terminal) -> None:
    """On stderr, where no script takes it for an answer."""
    first, second = terminal.run("migrate"), terminal.run("migrate")
    assert _TOKEN.search(first.err)
    assert not _TOKEN.search(first.out)
    assert not _TOKEN.search(second.err + second.out)


def test_log_that_is_kept_is_told_no_token(terminal: Terminal) -> None:
    """Where standard error is one; whoever has a shell is shown one later."""
    migrated = terminal.run("migrate", "--no-token")
    assert (migrated.status, migrated.err) == (0, "")
    assert _TOKEN.search(terminal.run("admin", "bootstrap").err)


def test_lost_token_is_replaced_until_there_is_an_admin(shell: Terminal) -> None:
    """From then on admins make admins."""
    tokens = [_TOKEN.search(shell.run("admin", "bootstrap").err) for _ in range(2)]
    assert tokens[0] is not None
    assert tokens[1] is not None
    assert tokens[0][0] != tokens[1][0]
    make_ada(shell)
    refused = shell.run("admin", "bootstrap")
    assert (refused.status, refused.err) == (1, "tollgate: bootstrap: there is an admin already\n")


def test_installation_with_a_key_is_shown_no_token(terminal: Terminal) -> None:
    """An update of an older installation does not open a door."""
    terminal.run("migrate")
    made = terminal.run("keys", "create", "platform", "--name", "admin", "--scopes", "all")
    assert made.status == 0
    assert not _TOKEN.search(terminal.run("migrate").err)


@pytest.mark.parametrize("url", ["http://tollgate.example", "ftp://127.0.0.1", "tollgate", ""])
def test_password_goes_nowhere_in_the_clear(terminal: Terminal, url: str) -> None:
    """Only to this machine, or through TLS."""
    refused = run_with(terminal, PASSWORD, "login", "--username", "ada", "--url", url)
    assert (refused.status, refused.err[:16]) == (1, "tollgate: --url ")


def test_there_is_nothing_to_log_out_of(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told in one line."""
    monkeypatch.setenv("XDG_CONFIG_HOME", terminal.settings["TOLLGATE_DATA_DIR"])
    refused = terminal.run("logout", "--url", "https://tollgate.example")
    assert refused.err == "tollgate: there is no session with https://tollgate.example\n"
