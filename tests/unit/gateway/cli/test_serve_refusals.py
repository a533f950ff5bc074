"""A server that would break a promise does not start, and says why in one line."""

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.errors import StartRefused
from gateway.settings import Settings
from gateway.supervisor.listening import check_servable, listen
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


def test_several_workers_without_redis_are_refused() -> None:
    """Each would grant the whole limit."""
    with pytest.raises(StartRefused, match="TOLLGATE_REDIS_URL"):
        check_servable(Settings(workers=2))


@pytest.mark.parametrize("workers", [1, 4])
def test_limits_in_redis_are_served(workers: int) -> None:
    """Any number of workers may count there."""
    check_servable(Settings(workers=workers, redis_url=SecretStr("redis://localhost")))


@pytest.mark.parametrize(
    ("redis_url", "database_url"),
    [
        ("", "postgresql://db/tollgate"),
        ("redis://localhost", ""),
        ("redis://localhost", "sqlite:///x"),
    ],
)
def test_replicas_that_share_too_little_are_refused(redis_url: str, database_url: str) -> None:
    """Limits, keys and the bill are one, or they are wrong."""
    with pytest.raises(StartRefused, match="TOLLGATE_DATABASE_URL"):
        check_servable(
            Settings(
                replicas=2, redis_url=SecretStr(redis_url), database_url=SecretStr(database_url)
            )
        )


def test_replicas_that_share_all_are_served() -> None:
    """Each has its own data folder for its journals."""
    check_servable(
        Settings(
            replicas=2,
            redis_url=SecretStr("redis://localhost"),
            database_url=SecretStr("postgresql://db/tollgate"),
        )
    )


def test_unix_socket_needs_no_permission() -> None:
    """It leaves the machine for nobody, whatever the host says."""
    check_servable(Settings(host="0.0.0.0", unix_socket=Path("http.sock")))  # noqa: S104


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
