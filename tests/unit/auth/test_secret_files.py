"""Secrets of the server: found, made once, versioned, and refused when they can be guessed."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.errors import SecretMalformed, SecretMissing, WeakSecret
from auth.secret_files import VersionedSecret, load_secret, read_versions

WEAK = [
    "",
    "short",
    "x" * 64,
    "0123456789abcdef" * 2,
    "changeme-changeme-changeme-1234567890",
    "my-very-own-PASSWORD-1234567890-zyxw",
    "abcdefghijklmnopqrstuvwxyz0123456789",
]


@pytest.mark.parametrize("weak", WEAK)
def test_weak_secret_is_refused_without_quoting_it(weak: str, tmp_path: Path) -> None:
    """A secret that can be guessed does not start a server."""
    with pytest.raises(WeakSecret) as refusal:
        load_secret(SecretStr(weak), tmp_path / "secret", may_create=True)
    assert not weak or weak not in str(refusal.value)


def test_weak_secret_in_the_file_is_refused(tmp_path: Path) -> None:
    """The file is judged like the setting."""
    (tmp_path / "secret").write_text("changeme")
    with pytest.raises(WeakSecret):
        load_secret(None, tmp_path / "secret", may_create=True)


def test_given_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    """A setting comes before the file."""
    given = secrets.token_urlsafe(32)
    found = load_secret(SecretStr(given), tmp_path / "secret", may_create=True)
    assert found == VersionedSecret({1: given.encode()})
    assert list(tmp_path.iterdir()) == []


def test_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """The second start reads what the first one made, private to the owner."""
    path = tmp_path / "secret"
    first = load_secret(None, path, may_create=True)
    assert load_secret(None, path, may_create=False) == first
    assert len(first.versions[1]) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_starts_at_the_same_time_agree(tmp_path: Path) -> None:
    """Whoever loses the race uses the winner's secret."""
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(load_secret, None, path, may_create=True) for _ in range(8)]
    assert len({future.result().versions[1] for future in made}) == 1


def test_missing_secret_is_not_made_unasked(tmp_path: Path) -> None:
    """A command that only reads never makes a secret that fits nothing."""
    with pytest.raises(SecretMissing):
        load_secret(None, tmp_path / "secret", may_create=False)


def test_random_secrets_are_never_called_weak(tmp_path: Path) -> None:
    """The rules do not refuse what a generator makes."""
    for make in (secrets.token_hex, secrets.token_urlsafe):
        for _ in range(500):
            load_secret(SecretStr(make(32)), tmp_path / "secret", may_create=False)


FIRST, SECOND = "u8WbQ0sJmYx2Zr5tNfKc7LhVdGe3PaTi", "Jr0vTq6CwXb9Mn4EyUk1SzAoHf8DlRgI"


def test_first_version_is_the_one_in_use(tmp_path: Path) -> None:
    """The first line is what new things are made with."""
    (tmp_path / "secret").write_text(f"12:{SECOND}\n1:{FIRST}\n")
    found = load_secret(None, tmp_path / "secret", may_create=False)
    assert found.versions == {12: SECOND.encode(), 1: FIRST.encode()}
    assert found.current == 12


@pytest.mark.parametrize(
    "lines",
    [
        f"1:{FIRST}\n1:{SECOND}",
        f"2:{FIRST}\n1:{FIRST}",
        f"2:{FIRST}\n{SECOND}",
        f"256:{FIRST}",
    ],
)
def test_versions_out_of_order_are_refused_without_quoting_them(lines: str) -> None:
    """Which secret is the newest is never guessed."""
    with pytest.raises(SecretMalformed) as refusal:
        read_versions(lines.encode())
    assert FIRST not in str(refusal.value)


def test_weak_older_version_is_refused() -> None:
    """Whoever guesses it has the keys that were made with it."""
    with pytest.raises(WeakSecret):
        read_versions(f"2:{FIRST}\n1:changeme".encode())


def test_secrets_are_left_out_of_texts() -> None:
    """A traceback shows the numbers alone."""
    assert repr(read_versions(f"2:{SECOND}\n1:{FIRST}".encode())) == (
        "VersionedSecret(versions=[2, 1])"
    )
