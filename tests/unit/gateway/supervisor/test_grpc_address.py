"""The port of gRPC belongs to one server, whose workers share it."""

import socket
from pathlib import Path

import pytest

from gateway.errors import StartRefused
from gateway.settings import Settings
from gateway.supervisor.grpc_address import grpc_socket, grpc_target, holding_grpc_port
from tests.serving import free_port


def test_port_of_another_server_is_refused() -> None:
    """Even of one that would share it: half of the calls would go there."""
    settings = Settings(grpc_port=free_port())
    with (
        holding_grpc_port(settings),
        pytest.raises(StartRefused, match="TOLLGATE_GRPC_PORT"),
        holding_grpc_port(settings),
    ):
        pass


def test_workers_can_listen_on_the_port_that_is_held() -> None:
    """It is held without being listened on."""
    settings = Settings(grpc_port=free_port())
    with holding_grpc_port(settings), socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind((settings.host, settings.grpc_port))
        worker.listen()


def test_no_port_is_held_for_nobody() -> None:
    """0 serves no gRPC, and behind a unix socket there is no port."""
    assert grpc_target(Settings(grpc_port=0)) == ""
    assert grpc_target(Settings(unix_socket=Path("/run/g.sock"))) == ""
    with holding_grpc_port(Settings(grpc_port=0)):
        pass


def test_each_worker_has_a_socket_beside_the_first() -> None:
    """Nginx finds them by the number."""
    settings = Settings(unix_socket=Path("/run/gateway.sock"))
    assert grpc_socket(settings, 3) == Path("/run/gateway-grpc-3.sock")
    assert grpc_socket(Settings(), 3) is None


def test_address_of_ipv6_is_in_brackets() -> None:
    """As gRPC reads it."""
    assert grpc_target(Settings(host="::1", grpc_port=5)) == "[::1]:5"
