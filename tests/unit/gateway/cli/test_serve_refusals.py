"""A server that would break a promise does not start, and says why in one line."""

import socket
from pathlib import Path

import pytest

from gateway.cli.server import check_servable, listen
from gateway.errors import StartRefused
from gateway.settings import Settings
from tests.unit.gateway.cli.terminal import Terminal


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    """Nobody but this machine hears what is said there."""
    check_servable(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "tollgate.example"])  # noqa: S104
def test_beyond_loopback_needs_a_word(host: str) -> None:
    """Keys do not travel in the clear by accident."""
    with pytest.raises(StartRefused, match="TLS"):
        check_servable(Settings(host=host))
    check_servable(Settings(host=host, allow_plaintext=True))


@pytest.mark.parametrize("redis_url", ["", "redis://localhost"])
def test_several_workers_are_refused(redis_url: str) -> None:
    """The server is one process, with limits in Redis or without."""
    with pytest.raises(StartRefused, match="one process"):
        check_servable(Settings(workers=2, redis_url=redis_url))


def test_limits_in_redis_are_served() -> None:
    """One process may count in Redis."""
    check_servable(Settings(redis_url="redis://localhost"))


def test_redis_url_that_is_none_is_refused(terminal: Terminal) -> None:
    """A typing error is told at the start, in one line and without the password."""
    terminal.run_apart("migrate")
    url = {"TOLLGATE_REDIS_URL": "localhost:6379?password=hush"}
    refused = Terminal(terminal.settings | url).run_apart("serve", "--port", "0")
    assert refused.status == 1
    assert refused.err.startswith("tollgate: TOLLGATE_REDIS_URL: "), refused.err
    assert "hush" not in refused.err


def test_taken_port_is_named() -> None:
    """The message says which port and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match=f"port {port}.*--port"):
            listen(Settings(port=port))


def test_refused_start_is_one_line(terminal: Terminal) -> None:
    """Whatever layer refuses, the user reads one line."""
    for arguments in (("serve", "--workers", "2"), ("serve", "--port", "0")):
        refused = terminal.run_apart(*arguments)
        assert refused.status == 1
        assert refused.err.startswith("tollgate: ")
        assert refused.err.count("\n") == 1, refused.err


def test_data_folder_can_be_given_as_an_option(terminal: Terminal, tmp_path: Path) -> None:
    """As for the demo."""
    refused = terminal.run_apart("serve", "--port", "0", "--data-dir", str(tmp_path / "given"))
    assert "tollgate migrate" in refused.err
    assert (tmp_path / "given").is_dir()
    assert not (tmp_path / "var").exists()
