"""One connection to Redis with a time budget and a circuit breaker.

A call is answered within the budget or given up; after that nobody is made to wait for Redis again
until a probe was answered in time. Redis itself drops a call that it meets too late (it was hung,
or the network was slow), so that a call that was given up decides nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

Argument = bytes | str | int
Reply = list[int]

BUDGET_SECONDS = 0.015
GRACE_SECONDS = 0.005
"""A loop that was busy itself finds its timer and the answer at once; the answer comes first."""

RETRY_SECONDS = 0.25
CONNECT_SECONDS = 1.0
_MICROSECONDS = 1_000_000
_PROBE_MS = 1000

logger = logging.getLogger(__name__)


class RedisUrlInvalid(ValueError):
    """The URL of Redis cannot be used; it is not repeated, as it may hold a password."""


@dataclass(slots=True)
class LinkCounters:
    """What happened since the start."""

    trips: int = 0
    """Calls that Redis answered in time."""

    outages: int = 0
    """Times that Redis was given up."""


class RedisLink:
    """Send calls of one script, one at a time, and say whether Redis is there.

    Concurrency: one event loop and one call at a time, as `Coalescer` makes them.
    """

    def __init__(
        self,
        url: str,
        script: bytes,
        *,
        probe_key: str,
        budget_seconds: float = BUDGET_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Connect nothing yet.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``, with the password in it.
            script: Lua source; it takes a deadline as its first argument and answers with Redis'
                clock and whether it ran before everything else.
            probe_key: a key that a probe may write, to see that Redis takes writes.
            budget_seconds: how long a call may take, and
            grace_seconds: how much longer it may be until a busy event loop has looked.
            retry_seconds: pause between two probes of a Redis that was given up.

        Raises:
            RedisUrlInvalid: the URL has no known scheme or a bad option.
        """
        self._make_connection = _maker_of(url)
        self._script = script
        self._digest = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
        self._probe_key = probe_key
        self._budget_seconds = budget_seconds
        self._grace_seconds = grace_seconds
        self._retry_seconds = retry_seconds
        self._connection: AbstractConnection | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._clock_offset_us = 0
        self._has_warned = False
        self.is_up = False
        self.on_up: Callable[[], None] = _do_nothing
        self.counters = LinkCounters()

    async def open(self) -> None:
        """Connect, or warn and go on trying in the background."""
        try:
            await self._connect()
        except (RedisError, OSError, ValueError) as error:
            self._give_up(error)

    async def close(self) -> None:
        """Stop probing and disconnect."""
        self.is_up = False
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await self._disconnect()

    def call(self, keys: list[str], arguments: list[Argument]) -> "asyncio.Future[Reply | None]":
        """Run the script and return the future of its reply without the first two items.

        None means that Redis is away; the future never fails.
        """
        loop = asyncio.get_running_loop()
        landing: asyncio.Future[Reply | None] = loop.create_future()
        if not self.is_up or self._connection is None:
            landing.set_result(None)
            return landing
        sent_us = time.monotonic_ns() // 1000
        allowed_us = int((self._budget_seconds + self._grace_seconds) * _MICROSECONDS)
        deadline_us = sent_us + self._clock_offset_us + allowed_us
        command = [len(keys), *keys, deadline_us, *arguments]
        trip = asyncio.create_task(self._run(self._connection, command))
        timer = loop.call_later(self._budget_seconds, self._expire, trip)
        trip.add_done_callback(lambda _: timer.cancel())
        trip.add_done_callback(partial(self._land, landing, sent_us))
        return landing

    def _expire(self, trip: "asyncio.Task[Reply]") -> None:
        """End a call whose budget is spent, after the loop had a last look for its answer."""
        asyncio.get_running_loop().call_later(self._grace_seconds, trip.cancel)

    async def _run(self, connection: AbstractConnection, command: Sequence[Argument]) -> Reply:
        """Call the script by its digest; a Redis that lost it gets the source again."""
        try:
            reply: Reply = await _ask(connection, b"EVALSHA", self._digest, *command)
        except NoScriptError:
            reply = await _ask(connection, b"EVAL", self._script, *command)
        return reply

    def _land(
        self,
        landing: "asyncio.Future[Reply | None]",
        sent_us: int,
        trip: "asyncio.Task[Reply]",
    ) -> None:
        reply = None
        if trip.cancelled():
            self._give_up(TimeoutError("no answer in time"))
        elif (error := trip.exception()) is not None:
            self._give_up(error)
        else:
            clock_us, ran, *reply = trip.result()
            self._clock_offset_us = clock_us - sent_us
            if not ran:
                self._give_up(TimeoutError("the call came too late"))
                reply = None
        if reply is not None:
            self.counters.trips += 1
            self._has_warned = False
        if not landing.done():
            landing.set_result(reply)

    def _give_up(self, error: BaseException) -> None:
        """Leave Redis alone until a probe is answered in time; warn once until it works again."""
        self.is_up = False
        self.counters.outages += 1
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "limits go on without Redis, each worker with its share: %s: %s",
                type(error).__name__,
                error,
            )
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        while not self.is_up:
            await self._disconnect()
            await asyncio.sleep(self._retry_seconds)
            try:
                await self._connect()
            except (RedisError, OSError, ValueError) as error:
                logger.debug("Redis is still away: %s: %s", type(error).__name__, error)

    async def _connect(self) -> None:
        """Connect and see that Redis takes writes and answers within the budget.

        Raises:
            RedisError, OSError: it does not (a timeout is an OSError).
            ValueError: something else than Redis answers there.
        """
        connection = self._connection = self._make_connection()
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis leaves it open
            await _ask(connection, b"SCRIPT", b"LOAD", self._script)
            await _ask(connection, b"SET", self._probe_key, b"1", b"PX", _PROBE_MS)
        sent_us = time.monotonic_ns() // 1000
        async with asyncio.timeout(self._budget_seconds):
            seconds, microseconds = await _ask(connection, b"TIME")
        clock_us = int(seconds) * _MICROSECONDS + int(microseconds)
        self._clock_offset_us = clock_us - sent_us
        self.is_up = True
        if self._has_warned:
            logger.info("Redis answers again")
        self.on_up()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _do_nothing() -> None:
    """Wait for whoever wants to know that Redis is up."""


def _maker_of(url: str) -> Callable[[], AbstractConnection]:
    """Read the URL and return what makes connections; there is never more than one."""
    try:
        pool: ConnectionPool = ConnectionPool.from_url(
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
    make: Callable[[], AbstractConnection] = pool.make_connection
    return make


async def _ask(connection: AbstractConnection, *command: Argument) -> list[int]:
    """Send one command and return its reply.

    Raises:
        RedisError: Redis refused the command, or the connection broke.
    """
    packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means a tuple of one
    await connection.send_packed_command(packed, check_health=False)
    reply: list[int] = await connection.read_response()
    return reply
