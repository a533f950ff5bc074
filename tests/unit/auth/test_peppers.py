"""The pepper of API keys."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.errors import SecretMissing, WeakSecret
from auth.peppers import load_pepper

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
def test_weak_pepper_is_refused_without_quoting_it(weak: str, tmp_path: Path) -> None:
    """A pepper that can be guessed does not start a server."""
    with pytest.raises(WeakSecret) as refusal:
        load_pepper(SecretStr(weak), tmp_path / "pepper", may_create=True)
    assert not weak or weak not in str(refusal.value)


def test_weak_pepper_in_the_file_is_refused(tmp_path: Path) -> None:
    """The file is judged like the setting."""
    (tmp_path / "pepper").write_text("changeme")
    with pytest.raises(WeakSecret):
        load_pepper(None, tmp_path / "pepper", may_create=True)


def test_given_pepper_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    """A setting comes before the file."""
    given = secrets.token_urlsafe(32)
    assert load_pepper(SecretStr(given), tmp_path / "pepper", may_create=True) == given.encode()
    assert list(tmp_path.iterdir()) == []


def test_pepper_is_made_once_and_kept(tmp_path: Path) -> None:
    """The second start reads what the first one made, private to the owner."""
    path = tmp_path / "pepper"
    first = load_pepper(None, path, may_create=True)
    assert load_pepper(None, path, may_create=False) == first
    assert len(first) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_starts_at_the_same_time_agree(tmp_path: Path) -> None:
    """Whoever loses the race uses the winner's pepper."""
    path = tmp_path / "pepper"
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(load_pepper, None, path, may_create=True) for _ in range(8)]
    assert len({future.result() for future in made}) == 1


def test_missing_pepper_is_not_made_unasked(tmp_path: Path) -> None:
    """A command that only reads never makes a pepper that would fit no key."""
    with pytest.raises(SecretMissing):
        load_pepper(None, tmp_path / "pepper", may_create=False)


def test_random_peppers_are_never_called_weak(tmp_path: Path) -> None:
    """The rules do not refuse what a generator makes."""
    for make in (secrets.token_hex, secrets.token_urlsafe):
        for _ in range(500):
            load_pepper(SecretStr(make(32)), tmp_path / "pepper", may_create=False)
