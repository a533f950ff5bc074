"""The secrets of the stack are made once, are strong, and are for their owner alone."""

import hashlib
import stat
from pathlib import Path

from scripts.stack_secrets import make_secrets, redis_acl
from tests.compose_file import read_compose_file


def test_every_secret_of_the_compose_file_is_made(tmp_path: Path) -> None:
    """What compose mounts must be there before it starts."""
    names = {Path(entry["file"]).name for entry in read_compose_file()["secrets"].values()}
    assert names <= set(make_secrets(tmp_path / "secrets"))


def test_only_the_owner_reaches_them_on_this_machine(tmp_path: Path) -> None:
    """The files are open for users of containers; the folder is closed for users of the machine."""
    folder = tmp_path / "secrets"
    make_secrets(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    """A database keeps the password that it was made with."""
    make_secrets(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert make_secrets(tmp_path) == []
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_lost_url_is_written_from_its_password(tmp_path: Path) -> None:
    """It holds nothing else that is secret."""
    make_secrets(tmp_path)
    url = tmp_path / "database_url"
    before = url.read_text()
    url.unlink()
    assert make_secrets(tmp_path) == ["database_url"]
    assert url.read_text() == before
    assert (tmp_path / "postgres_password").read_text().strip() in before


def test_secrets_are_long_and_differ(tmp_path: Path) -> None:
    """32 random bytes each; the server refuses a shorter pepper."""
    make_secrets(tmp_path)
    names = ("postgres_password", "redis_password", "key_pepper", "sealing_key", "grafana_password")
    values = {(tmp_path / name).read_text().strip() for name in names}
    assert len(values) == len(names)
    assert all(len(value) >= 43 for value in values)


def test_redis_learns_no_password() -> None:
    """Its file of users has the digest."""
    users = redis_acl("a-password")
    assert "a-password" not in users
    assert hashlib.sha256(b"a-password").hexdigest() in users


def test_without_a_password_one_may_only_ping() -> None:
    """The default user, with which Redis reads its own log, is nobody."""
    default, health, gateway = redis_acl("a-password").splitlines()
    assert default.startswith("user default off resetpass ")
    assert health == "user health on nopass -@all +ping"
    assert "nopass" not in gateway
    assert "-@admin -@dangerous" in gateway
