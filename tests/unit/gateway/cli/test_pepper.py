"""`tollgate pepper`: a rotation from the first step to the last."""

import re
from pathlib import Path

import pytest

from auth.secret_files import generate
from tests.unit.gateway.cli.terminal import Terminal

CREATE = ("keys", "create", "platform", "--name", "admin", "--scopes", "all", "--json")


def versions(terminal: Terminal) -> list[tuple[int, str, int]]:
    """Return what the status shows."""
    data = terminal.run("pepper", "status", "--json").document["data"]
    return [(row["version"], row["use"], row["secrets"]) for row in data]


def pepper_file(terminal: Terminal) -> Path:
    """Name the file."""
    return Path(terminal.settings["TOLLGATE_DATA_DIR"]) / "key_pepper"


def test_rotation_has_two_steps(migrated: Terminal) -> None:
    """New keys are made with the new version only once it is in use."""
    migrated.run(*CREATE)
    assert "restart every server" in migrated.run("pepper", "rotate").out
    migrated.run(*CREATE)
    assert versions(migrated) == [(2, "known", 0), (1, "in use", 2)]
    assert migrated.run("pepper", "rotate", "--json").document == {"version": 2, "use": "in use"}
    migrated.run(*CREATE)
    assert versions(migrated) == [(2, "in use", 1), (1, "known", 2)]
    assert pepper_file(migrated).stat().st_mode & 0o777 == 0o600


def test_version_with_secrets_left_is_not_retired(migrated: Terminal) -> None:
    """The refusal says how many would die; without them it goes."""
    key = migrated.run(*CREATE).document
    migrated.run("pepper", "rotate")
    migrated.run("pepper", "rotate")
    refused = migrated.run("pepper", "retire", "1")
    assert (refused.status, "1 secrets would stop working" in refused.err) == (1, True)
    migrated.run("keys", "revoke", "platform", key["key_id"])
    assert migrated.run("pepper", "retire", "1").status == 0
    assert versions(migrated) == [(2, "in use", 0)]
    assert migrated.run(*CREATE).status == 0


@pytest.mark.parametrize(("version", "reason"), [("1", "is in use"), ("9", "no version 9")])
def test_version_that_cannot_go_stays(migrated: Terminal, version: str, reason: str) -> None:
    """Neither the one in use, nor one that is not there."""
    migrated.run(*CREATE)
    before = pepper_file(migrated).read_bytes()
    refused = migrated.run("pepper", "retire", version)
    assert (refused.status, reason in refused.err) == (1, True)
    assert pepper_file(migrated).read_bytes() == before


def test_start_without_a_version_that_keys_need_is_refused(migrated: Terminal) -> None:
    """And says how many secrets it would cost."""
    migrated.run(*CREATE)
    migrated.run("pepper", "rotate")
    migrated.run("pepper", "rotate")
    migrated.run(*CREATE)
    path = pepper_file(migrated)
    path.write_bytes(path.read_bytes().splitlines()[0])
    refused = migrated.run("keys", "list", "platform")
    assert refused.status == 1
    assert "no version 1 of the pepper, which 1 secrets were made with" in refused.err
    assert versions(migrated) == [(2, "in use", 1), (1, "gone", 1)]


def test_pepper_of_a_setting_is_rotated_by_hand(migrated: Terminal) -> None:
    """Two lines, the first of them in use; the command only says so."""
    first, second = (generate().decode() for _ in range(2))
    one = Terminal(migrated.settings | {"TOLLGATE_KEY_PEPPER": first})
    one.run(*CREATE)
    assert "docs/security.md" in one.run("pepper", "rotate").err
    both = Terminal(one.settings | {"TOLLGATE_KEY_PEPPER": f"2:{second}\n1:{first}"})
    assert versions(both) == [(2, "in use", 0), (1, "known", 1)]


def test_pepper_is_not_printed(migrated: Terminal) -> None:
    """By no step."""
    migrated.run(*CREATE)
    told = [migrated.run("pepper", *words) for words in (("rotate",), ("rotate",), ("status",))]
    shown = "".join(done.out + done.err for done in told)
    for line in pepper_file(migrated).read_text().splitlines():
        assert line.split(":", 1)[1] not in shown
    assert not re.search(r"[A-Za-z0-9_-]{32}", shown)
