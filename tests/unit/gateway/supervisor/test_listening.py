"""A unix socket is for the owner and the group, and never taken from a server that lives."""

import socket
import stat
from pathlib import Path

import pytest

from gateway.errors import StartRefused
from gateway.settings import Settings
from gateway.supervisor.listening import listen, listening, url_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket is to be."""
    return tmp_path / "http.sock"


def test_socket_is_for_the_owner_and_the_group(path: Path) -> None:
    """From the moment it is there; whoever connects is believed as the proxy."""
    with listening(Settings(unix_socket=path)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert url_of(listener) == f"unix:{path}"


def test_socket_goes_with_its_server(path: Path) -> None:
    """Nothing is left that nobody answers on."""
    with listening(Settings(unix_socket=path)):
        assert path.exists()
    assert not path.exists()


def test_socket_of_a_later_server_stays(path: Path) -> None:
    """One that was put in place of ours is not ours to remove."""
    with listening(Settings(unix_socket=path)):
        path.unlink()
        later = listen(Settings(unix_socket=path))
    assert path.exists()
    later.close()


def test_stale_socket_is_replaced(path: Path) -> None:
    """A server that was killed could not tidy up."""
    listen(Settings(unix_socket=path)).close()
    assert path.exists()
    with listening(Settings(unix_socket=path)), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_socket_that_somebody_answers_on_is_left(path: Path) -> None:
    """Two servers would each get none of the other's requests."""
    with (
        listening(Settings(unix_socket=path)),
        pytest.raises(StartRefused, match="another server"),
    ):
        listen(Settings(unix_socket=path))
    assert not path.exists()


def test_other_file_is_left(path: Path) -> None:
    """A mistyped path costs nobody a file."""
    path.write_text("precious")
    with pytest.raises(StartRefused, match="no socket"):
        listen(Settings(unix_socket=path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/http.sock", "a" * 200])
def test_path_that_cannot_be_is_told(tmp_path: Path, name: str) -> None:
    """With how to choose another."""
    with pytest.raises(StartRefused, match="--unix-socket"):
        listen(Settings(unix_socket=tmp_path / name))
