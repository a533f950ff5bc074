"""Where Redis is, and how to connect there: one URL, and the nodes of a cluster behind it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

Argument = bytes | str | int
MakeConnection = Callable[[], AbstractConnection]

CONNECT_SECONDS = 1.0
_OF_THE_URL = {"host", "port", "path"}


class RedisUrlInvalid(ValueError):
    """The URL of Redis cannot be used; it is not repeated, as it may hold a password."""


class Place(NamedTuple):
    """One node of a cluster."""

    host: str
    port: int


class RedisAddress:
    """Make connections to the server of a URL, or with the same log-in to a node of its cluster."""

    def __init__(self, url: str) -> None:
        """Read ``redis://``, ``rediss://`` or ``unix://``, with the password in it.

        Raises:
            RedisUrlInvalid: the URL has no known scheme or a bad option.
        """
        try:
            self._pool: ConnectionPool = ConnectionPool.from_url(
                url,
                socket_timeout=None,  # the budget of a call stands in `RedisLink.call`
                socket_connect_timeout=CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                decode_responses=False,
                health_check_interval=0,
            )
        except ValueError as error:
            raise RedisUrlInvalid(str(error)) from None

    @property
    def host(self) -> str:
        """Name the host of the URL."""
        return str(self._pool.connection_kwargs.get("host", "localhost"))

    def connect(self) -> AbstractConnection:
        """Make a connection to the server of the URL; nothing is sent yet."""
        make: MakeConnection = self._pool.make_connection
        return make()

    def at(self, place: Place) -> MakeConnection:
        """Return what makes connections to one node."""
        options: dict[str, Any] = {
            name: value
            for name, value in self._pool.connection_kwargs.items()
            if name not in _OF_THE_URL
        }
        is_encrypted = issubclass(self._pool.connection_class, SSLConnection)
        kind = SSLConnection if is_encrypted else Connection
        return lambda: kind(host=place.host, port=place.port, **options)


async def ask(connection: AbstractConnection, *command: Argument) -> Any:  # noqa: ANN401 - Redis'
    """Send one command and return its reply.

    Raises:
        RedisError: Redis refused the command, or the connection broke.
    """
    [reply] = await ask_all(connection, [command])
    if isinstance(reply, ResponseError):
        raise reply
    return reply


async def ask_all(
    connection: AbstractConnection, commands: Sequence[Sequence[Argument]]
) -> list[Any]:
    """Send commands together and return a reply, or the error that Redis sent, for each.

    Raises:
        RedisError: the connection broke.
    """
    await send_all(connection, commands)
    return await receive_all(connection, len(commands))


async def send_all(connection: AbstractConnection, commands: Sequence[Sequence[Argument]]) -> None:
    """Write commands, before anything else runs unless the connection is full.

    Raises:
        RedisError: the connection broke.
    """
    packed = [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]  # its stub means a tuple of one
    await connection.send_packed_command(packed, check_health=False)


async def receive_all(connection: AbstractConnection, count: int) -> list[Any]:
    """Return so many replies, or the errors that Redis sent in place of them.

    Raises:
        RedisError: the connection broke.
    """
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
