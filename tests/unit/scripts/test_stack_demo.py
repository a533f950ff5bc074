"""The demo of the stack is made once and found again; the line it prints can be pasted."""

import json
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.stack_demo import Door, curl_line, prepare_demo


class FakeDoor(Door):
    """A server that knows some keys."""

    accepted: frozenset[str] = frozenset()

    def call(self, path: str, key: str) -> tuple[int, Any]:
        """Accept the known keys."""
        return (200, {"path": path}) if key in self.accepted else (401, None)


class FakeTollgate:
    """The command, with a list of tenants and a count of keys."""

    def __init__(self, *tenants: dict[str, str]) -> None:
        self.tenants = list(tenants)
        self.keys = 0

    def __call__(self, *words: str) -> dict[str, Any]:
        """Do what the first two words say."""
        if words[:2] == ("tenants", "list"):
            return {"data": self.tenants}
        if words[:2] == ("keys", "create"):
            self.keys += 1
            return {"api_key": f"key-{self.keys}"}
        if words[:2] == ("tenants", "create"):
            self.tenants.append({"tenant_id": "ten_new", "name": "Demo"})
            return self.tenants[-1]
        return {"plan_id": "plan_new"}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FakeDoor]:
    """A door with a certificate authority of its own."""
    authority = tmp_path / "ca.pem"
    authority.touch()
    yield FakeDoor("https://localhost:8443", authority)
    FakeDoor.accepted = frozenset()


def test_first_time_makes_a_tenant_and_three_keys(tmp_path: Path, door: FakeDoor) -> None:
    """One to call with, one to administrate, one to bill."""
    tollgate = FakeTollgate()
    document = prepare_demo(tmp_path / "demo.json", door, tollgate)
    assert document["tenant_id"] == "ten_new"
    assert tollgate.keys == 3


def test_file_is_for_its_owner_alone(tmp_path: Path, door: FakeDoor) -> None:
    """It holds an admin's key."""
    path = tmp_path / "demo.json"
    document = prepare_demo(path, door, FakeTollgate())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == document


def test_second_time_uses_the_keys_that_work(tmp_path: Path, door: FakeDoor) -> None:
    """Nothing is made anew."""
    path = tmp_path / "demo.json"
    first = prepare_demo(path, door, FakeTollgate())
    FakeDoor.accepted = frozenset({first["api_key"]})
    assert prepare_demo(path, door, FakeTollgate()) == first


def test_lost_keys_are_replaced_for_the_same_tenant(tmp_path: Path, door: FakeDoor) -> None:
    """A second demo tenant would hide the usage of the first."""
    tollgate = FakeTollgate({"tenant_id": "ten_old", "name": "Demo"})
    assert prepare_demo(tmp_path / "demo.json", door, tollgate)["tenant_id"] == "ten_old"
    assert len(tollgate.tenants) == 1


def test_line_survives_a_shell(door: FakeDoor) -> None:
    """Quotes in the body and blanks in the path to the certificate stay what they are."""
    line = curl_line(door, "/v1/models/x:predict", key="tg_live_1", body={"a": "it's"})
    words = shlex.split(line)
    assert words[:5] == [
        "curl",
        "-sS",
        "--cacert",
        str(door.authority),
        "https://localhost:8443/v1/models/x:predict",
    ]
    assert json.loads(words[-1]) == {"a": "it's"}
