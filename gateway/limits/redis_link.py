"""One connection to one Redis with a time budget and a circuit breaker.

A call that is not answered within the budget is in doubt: whoever can do without its answer goes on
alone, and whoever cannot waits for it a while longer, since Redis may only have had to wait for a
processor. Calls that come meanwhile are sent behind it and are in doubt at once: what was written
to a late Redis reaches it, even if this process does not live to see the answer. Then all are given
up, and nobody is made to wait for Redis again until a probe was answered in time. Redis itself
drops a call that it meets too late (it was hung, or the network was slow), so that a call that was
given up decides nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError, TryAgainError

from gateway.limits.redis_address import (
    CONNECT_SECONDS,
    Argument,
    MakeConnection,
    ask,
    ask_all,
    receive_all,
    send_all,
)

Reply = list[int]
Command = tuple[list[str], list[Argument]]
"""The keys and the arguments of one call of the script, all keys in one hash slot."""

Replies = list[Reply | None]
"""What each of several calls was told; None where the node is not (or no longer) in charge."""

_Trip = asyncio.Task[Replies]

BUDGET_SECONDS = 0.015
GRACE_SECONDS = 0.005
"""A loop that was busy itself finds its timer and the answer at once; the answer comes first."""

DOUBT_SECONDS = 0.5
"""Longer than a process waits for its turn on a machine that has several times more to do than it
can.
"""

RETRY_SECONDS = 0.25
_MICROSECONDS = 1_000_000
_PROBE_MS = 1000
_ELSEWHERE = (AskError, TryAgainError)  # `MovedError` is an `AskError`

logger = logging.getLogger(__name__)


class ClusterFound(RedisError):
    """The server is a node of a cluster, and was not connected to as one."""


@dataclass(slots=True)
class LinkCounters:
    """What happened since the start."""

    trips: int = 0
    """Calls that Redis answered in time."""

    outages: int = 0
    """Times that Redis was given up."""


@dataclass(slots=True)
class LinkEvents:
    """Who wants to know what happens to a link."""

    up: Callable[[], None] = field(default=lambda: None)
    """It works, at first or again."""

    doubt: Callable[[], None] = field(default=lambda: None)
    """The budget of the call that was sent last is spent, or that of one before it."""

    down: Callable[[], None] = field(default=lambda: None)
    """It was given up."""

    moved: Callable[[], None] = field(default=lambda: None)
    """Some keys are on another node, or the server turned out to be one of a cluster."""


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """How long a link waits for what, in seconds."""

    budget_seconds: float = BUDGET_SECONDS
    """How long a call may take until it is in doubt."""

    doubt_seconds: float = DOUBT_SECONDS
    """How much longer until it is given up."""

    grace_seconds: float = GRACE_SECONDS
    """How much longer it may be until a busy event loop has looked."""

    retry_seconds: float = RETRY_SECONDS
    """Pause between two probes of a Redis that was given up."""

    @property
    def allowed_seconds(self) -> float:
        """Return how long a call may take in all."""
        return self.budget_seconds + self.grace_seconds + self.doubt_seconds


class RedisLink:
    """Send calls of one script, one at a time, and say whether Redis is there.

    Concurrency: one event loop. A call is sent when the last one was answered or is in doubt;
    Redis runs and answers them in the order in which they were sent.
    """

    def __init__(
        self,
        make_connection: MakeConnection,
        script: bytes,
        *,
        probe_key: str,
        when_away: str,
        is_member: bool = False,
        times: LinkTimes | None = None,
        counters: LinkCounters | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            make_connection: makes a connection that has sent nothing.
            script: Lua source; it takes a deadline as its first argument and answers with Redis'
                clock and whether it ran before everything else.
            probe_key: a key that a probe may write, to see that Redis takes writes.
            when_away: what a warning says while it does not.
            is_member: whether the server is known to be a node of a cluster.
            times: the budget of a call and the pause between probes.
            counters: where to count; None: in counters of its own.
        """
        self._make_connection = make_connection
        self._script = script
        self._digest = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
        self._probe_key = probe_key
        self._when_away = when_away
        self._times = times or LinkTimes()
        self._connection: AbstractConnection | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[_Trip, int] = {}
        self._turn = asyncio.Lock()
        self._clock_offset_us = 0
        self._last_deadline_us = 0
        self._has_warned = False
        self._is_closed = False
        self.is_member = is_member
        self.is_up = False
        self.is_in_doubt = False
        """The calls under way are late; Redis may be there still."""

        self.on = LinkEvents()
        self.counters = counters or LinkCounters()

    async def open(self) -> None:
        """Connect, or warn and go on trying in the background."""
        try:
            await self._connect(within_seconds=self._times.allowed_seconds)
        except (RedisError, OSError, ValueError) as error:
            self._give_up(error)

    async def close(self) -> None:
        """Stop probing and disconnect."""
        self.is_up = False
        self._is_closed = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await self._disconnect()

    def call(self, commands: Sequence[Command]) -> "asyncio.Future[Replies | None]":
        """Run the script some times and return the future of the replies without their first two.

        None means that Redis is away, and may have run them or not; the future never fails.
        """
        loop = asyncio.get_running_loop()
        landing: asyncio.Future[Replies | None] = loop.create_future()
        if not self.is_up or self._connection is None:
            landing.set_result(None)
            return landing
        sent_us = time.monotonic_ns() // 1000
        deadline_us = self._deadline_of(sent_us)
        bodies: list[list[Argument]] = [
            [len(keys), *keys, deadline_us, *arguments] for keys, arguments in commands
        ]
        trip = asyncio.create_task(self._run(self._connection, bodies))
        self._under_way[trip] = sent_us
        trip.add_done_callback(partial(self._land, landing))
        if self.is_in_doubt:
            loop.call_soon(self.on.doubt)  # once it is written
        else:
            self._timer = loop.call_later(self._times.budget_seconds, self._expire, trip)
        return landing

    def _deadline_of(self, sent_us: int) -> int:
        """Return until when Redis may run a call, by its clock; with a late one it is given up."""
        allowed_us = int(self._times.allowed_seconds * _MICROSECONDS)
        deadline_us = sent_us + self._clock_offset_us + allowed_us
        if self._last_deadline_us and self.is_in_doubt:
            return self._last_deadline_us
        self._last_deadline_us = deadline_us
        return deadline_us

    def _expire(self, trip: "_Trip") -> None:
        """Doubt a call whose budget is spent, after the loop had a last look for its answer."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._times.grace_seconds, self._doubt, trip)

    def _doubt(self, trip: "_Trip") -> None:
        """Let go whoever can do without the answer, and give the call up after a while."""
        self.is_in_doubt = True
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._times.doubt_seconds, self._despair, trip)
        self.on.doubt()

    def _despair(self, trip: "_Trip") -> None:
        """Give a call up, after the loop had a last look for its answer."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._times.grace_seconds, trip.cancel)

    async def _run(
        self, connection: AbstractConnection, bodies: list[list[Argument]]
    ) -> list[Reply | None]:
        """Call the script by its digest; a Redis that lost it gets the source again.

        Raises:
            RedisError: the connection broke, or a call failed and nobody knows how far it got.
        """
        await send_all(connection, [[b"EVALSHA", self._digest, *body] for body in bodies])
        async with self._turn:
            replies = await receive_all(connection, len(bodies))
            missed = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if missed and len(self._under_way) > 1:
                raise RedisError("the script was lost, and other calls are answered next")
            if missed:
                again = [[b"EVAL", self._script, *bodies[at]] for at in missed]
                for at, reply in zip(missed, await ask_all(connection, again), strict=True):
                    replies[at] = reply
        return [_read(reply) for reply in replies]

    def _land(
        self,
        landing: "asyncio.Future[Replies | None]",
        trip: "_Trip",
    ) -> None:
        replies: Replies | None = None
        sent_us = self._under_way.pop(trip, None)
        error = TimeoutError("no answer in time") if trip.cancelled() else trip.exception()
        if sent_us is not None:  # not given up with an earlier one
            self._look_after_the_next()
            if error is not None:
                self._give_up(error)
            else:
                replies = self._open_replies(trip.result(), sent_us)
        if replies is not None:
            self.counters.trips += 1
            self._has_warned = False
            if None in replies:
                self.on.moved()
        if not landing.done():
            landing.set_result(replies)

    def _look_after_the_next(self) -> None:
        """Give the call that is answered next its time; what was sent in doubt stays in it."""
        self._last_deadline_us = 0
        if self._timer is not None:
            self._timer.cancel()
        if not self._under_way:
            self.is_in_doubt = False
            return
        trip, sent_us = next(iter(self._under_way.items()))
        spent_seconds = (time.monotonic_ns() // 1000 - sent_us) / _MICROSECONDS
        left_seconds = max(0.0, self._times.allowed_seconds - spent_seconds)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(left_seconds, self._despair, trip)

    def _open_replies(self, sealed: list[Reply | None], sent_us: int) -> Replies | None:
        """Cut clock and success off each reply; None where a call came too late."""
        replies: Replies = []
        for reply in sealed:
            if reply is None:
                replies.append(None)
                continue
            self._clock_offset_us = reply[0] - sent_us
            if not reply[1]:
                self._give_up(TimeoutError("the call came too late"))
                return None
            replies.append(reply[2:])
        return replies

    def _give_up(self, error: BaseException) -> None:
        """Leave Redis alone until a probe is answered in time; warn once until it works again."""
        if self._is_closed:
            return
        self.is_up = self.is_in_doubt = False
        under_way, self._under_way = self._under_way, {}
        if self._timer is not None:
            self._timer.cancel()
        for trip in under_way:
            trip.cancel()
        self.counters.outages += 1
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s: %s: %s", self._when_away, type(error).__name__, error)
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover())
        self.on.down()

    async def _recover(self) -> None:
        pause_seconds = 0.0  # at first none: it may have been late just once
        while not self.is_up:
            await self._disconnect()
            await asyncio.sleep(pause_seconds)
            pause_seconds = self._times.retry_seconds
            try:
                await self._connect(within_seconds=self._times.budget_seconds)
            except (RedisError, OSError, ValueError) as error:
                logger.debug("Redis is still away: %s: %s", type(error).__name__, error)

    async def _connect(self, *, within_seconds: float) -> None:
        """Connect and see that Redis takes writes and answers within a time.

        At the start nobody waits yet, and a worker that is started anew on a crowded machine must
        not begin with shares of limits that others have used up.

        Raises:
            RedisError, OSError: it does not (a timeout is an OSError).
            ValueError: something else than Redis answers there.
        """
        connection = self._connection = self._make_connection()
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis leaves it open
            if not self.is_member and await is_clustered(connection):
                self.on.moved()
                raise ClusterFound("the server is a node of a cluster")
            await ask(connection, b"SCRIPT", b"LOAD", self._script)
            await ask(connection, b"SET", self._probe_key, b"1", b"PX", _PROBE_MS)
        sent_us = time.monotonic_ns() // 1000
        async with asyncio.timeout(within_seconds):
            seconds, microseconds = await ask(connection, b"TIME")
        clock_us = int(seconds) * _MICROSECONDS + int(microseconds)
        self._clock_offset_us = clock_us - sent_us
        self.is_up = True
        if self._has_warned:
            logger.info("Redis answers again")
        self.on.up()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def is_clustered(connection: AbstractConnection) -> bool:
    """Ask a server whether it is a node of a cluster.

    Raises:
        RedisError: it does not say.
    """
    told: bytes = await ask(connection, b"INFO", b"cluster")
    return b"cluster_enabled:1" in told


def _read(reply: Reply | ResponseError) -> Reply | None:
    """Return what a call was told; None where it was refused unseen, for another node to run.

    Raises:
        ResponseError: the call failed, and may have done a part of its work.
    """
    if isinstance(reply, _ELSEWHERE):
        return None
    if isinstance(reply, ResponseError):
        raise reply
    return reply
