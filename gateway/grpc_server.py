"""Open and close the gRPC server of one worker.

TLS ends in Nginx. On a port the workers share it (SO_REUSEPORT); for a proxy each worker has a unix
socket of its own, since gRPC cannot take over a socket that is listened on already.
"""

import asyncio
import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2_grpc

from gateway.dataplane.grpc_door import GrpcDoor
from gateway.dataplane.grpc_health import GrpcHealth
from gateway.dataplane.grpc_service import GrpcService
from gateway.dataplane.request_ids import RequestIds
from gateway.errors import StartRefused
from gateway.observability.observer import RequestObserver
from gateway.services import Services
from gateway.settings import Settings
from gateway.supervisor.grpc_address import grpc_socket, grpc_target

_MAX_METADATA_BYTES: Final = 64 * 1024
_MAX_STREAMS: Final = 128
_HANDSHAKE_SECONDS: Final = 30
_KEEPALIVE_SECONDS: Final = 60
_KEEPALIVE_ANSWER_SECONDS: Final = 20
_FASTEST_PINGS_SECONDS: Final = 10
_CONNECTION_AGE_SECONDS: Final = 600
_PROXY_CONNECTION_AGE_SECONDS: Final = 3
"""Of a connection over a unix socket, which costs next to nothing."""

_LAST_CONNECTION_SECONDS: Final = 4.0
"""gRPC spreads ages by a tenth."""

_OWNER_AND_GROUP: Final = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP


class GrpcServer:
    """The gRPC server of one worker, from its start to its end; none where the port is 0."""

    def __init__(self, settings: Settings, observer: RequestObserver, *, worker: int = 0) -> None:
        self._settings = settings
        self._observer = observer
        self._path = grpc_socket(settings, worker)
        self._inode = 0
        self._hurry = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self._service: GrpcService | None = None

    async def start(self, services: Services) -> None:
        """Listen, and accept calls.

        Raises:
            StartRefused: gRPC cannot listen there.
        """
        if not self._settings.grpc_port:
            return
        logging.getLogger("grpc").setLevel(logging.INFO)  # it has a line for each step of a call
        request_ids = RequestIds(trusts_proxy=self._settings.trusts_proxy)
        door = GrpcDoor(services, request_ids=request_ids, observer=self._observer)
        self._service = service = GrpcService(services, door)
        self._server = server = grpc.aio.server(options=_options(self._settings))
        server.add_generic_rpc_handlers((service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(GrpcHealth(service.is_ready), server)
        if self._path is None:
            _listen(server, grpc_target(self._settings))
            await server.start()
        else:
            await self._start_on_file(server, self._path)

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and cut those that are not done in time; a second call hurries.

        gRPC drops the calls that come while it ends. Behind the proxy nobody connects any more, and
        what is connected is waited for: such connections end by themselves after a few seconds,
        each of them between two calls.
        """
        if self._server is None or self._service is None:
            return
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        self._service.is_ending = True
        if not seconds:
            self._hurry.set()
        elif self._path is not None:
            self._leave(self._path)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(_LAST_CONNECTION_SECONDS, seconds))
        await self._server.stop(max(ends_at - loop.time(), 0.0))

    def _leave(self, path: Path) -> None:
        """Remove the socket's name, unless a successor has it."""
        if self._inode and _inode(path) == self._inode:
            path.unlink(missing_ok=True)

    async def _start_on_file(self, server: grpc.aio.Server, path: Path) -> None:
        """Listen on a name of this process, and put it in place of an earlier worker's.

        Two processes have the same number while one takes over from the other; gRPC removes the
        name that it was given when it ends, which would be its successor's.

        Threat: whoever connects is believed as the proxy, so others may not.
        """
        own = path.with_name(f".{path.name}.{os.getpid()}")
        _listen(server, f"unix:{own}")
        await server.start()
        own.chmod(_OWNER_AND_GROUP)
        self._inode = _inode(own)
        own.rename(path)


def _listen(server: grpc.aio.Server, address: str) -> None:
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartRefused(f"gRPC cannot listen on {address}: {error}") from None


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


def _options(settings: Settings) -> list[tuple[str, int]]:
    """Bound what one connection may cost.

    Messages are handed over as they come: the door inflates them, as far as its cap. Connections
    end after a while, so that clients which keep theirs spread over all workers again.

    Source: gRPC core, grpc_types.h.
    """
    age = _CONNECTION_AGE_SECONDS if settings.unix_socket is None else _PROXY_CONNECTION_AGE_SECONDS
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.per_message_decompression", 0),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.so_reuseport", 1),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_SECONDS * 1000),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_ANSWER_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _FASTEST_PINGS_SECONDS * 1000),
        ("grpc.max_connection_age_ms", age * 1000),
        ("grpc.max_connection_age_grace_ms", int(settings.request_timeout_seconds * 1000)),
    ]
