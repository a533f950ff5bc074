"""Which Redis is in charge of which keys: one server, or the nodes of a cluster.

Whether it is a cluster is asked of the server itself. In a cluster each node has a link, and a
breaker, of its own; the map of the slots is read anew when a node says that keys have moved, and
again and again while a node is away, as another may have taken its place.

Source: Redis cluster specification, "Key distribution model" and "MOVED Redirection".
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError

from gateway.limits.redis_address import CONNECT_SECONDS, MakeConnection, Place, RedisAddress, ask
from gateway.limits.redis_link import LinkCounters, LinkTimes, RedisLink, is_clustered

SLOTS = REDIS_CLUSTER_HASH_SLOTS

logger = logging.getLogger(__name__)


class SlotRange(NamedTuple):
    """Slots and the node in charge of them."""

    first: int
    last: int
    place: Place


class RedisNodes:
    """Keep one link to each Redis that holds keys of ours.

    Concurrency: one event loop; at most one task reads the map of the slots.
    """

    def __init__(
        self,
        url: str,
        script: bytes,
        *,
        prefix: str,
        when_away: str,
        times: LinkTimes | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            url: of the server, or of any node of the cluster.
            script: what the links run.
            prefix: what every key begins with.
            when_away: what a warning says while a Redis is not there.
            times: the budget of a call and the pause between probes.

        Raises:
            RedisUrlInvalid: the URL has no known scheme or a bad option.
        """
        self._address = RedisAddress(url)
        self._script = script
        self._prefix = prefix
        self._when_away = when_away
        self._times = times or LinkTimes()
        self.counters = LinkCounters()
        """Of all links, also of those to nodes that are gone, so that no count ever falls."""

        self._links: dict[Place | None, RedisLink] = {None: self._link_to(self._address.connect)}
        self._by_slot = [self._links[None]] * SLOTS
        self._reading: asyncio.Task[None] | None = None
        self.on_up: Callable[[RedisLink], None] = lambda _link: None
        self.on_doubt: Callable[[RedisLink], None] = lambda _link: None
        self.on_map: Callable[[], None] = lambda: None

    @property
    def links(self) -> Iterable[RedisLink]:
        """Every link in use."""
        return self._links.values()

    @property
    def is_up(self) -> bool:
        """Whether every Redis decides."""
        return all(link.is_up for link in self.links)

    def link_of(self, slot: int) -> RedisLink:
        """Return the link to the Redis in charge of a slot."""
        return self._by_slot[slot]

    def link_of_key(self, key: str) -> RedisLink:
        """Return the link to the Redis in charge of a key."""
        return self._by_slot[key_slot(key.encode())]

    async def open(self) -> None:
        """Find out what is there and connect; what is away is tried again in the background."""
        found = await self._ask_map(self._address.connect)
        if found:
            await self._adopt(found)
        else:
            await asyncio.gather(*(link.open() for link in self.links))

    async def close(self) -> None:
        """Disconnect from every Redis."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self.links))

    def _link_to(self, make_connection: MakeConnection, *, probe_key: str = "") -> RedisLink:
        link = RedisLink(
            make_connection,
            self._script,
            probe_key=probe_key or f"{self._prefix}:probe",
            when_away=self._when_away,
            is_member=bool(probe_key),
            times=self._times,
            counters=self.counters,
        )
        link.on.up = lambda: self.on_up(link)
        link.on.doubt = lambda: self.on_doubt(link)
        link.on.moved = self._read_soon
        link.on.down = self._read_soon if link.is_member else lambda: None
        return link

    # The map of the slots

    def _read_soon(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_map())

    async def _read_map(self) -> None:
        """Read the map now, and go on while a node of it is away."""
        while True:
            for connect in list(self._doors()):
                found = await self._ask_map(connect)
                if found:
                    await self._adopt(found)
                    break
            # Also where all is well: a slot on its way would have it read for every request.
            await asyncio.sleep(self._times.retry_seconds)
            if self.is_up:
                return

    def _doors(self) -> Iterator[MakeConnection]:
        """List whom to ask for the map, those first who answered last time."""
        places = [place for place in self._links if place is not None]
        places.sort(key=lambda place: not self._links[place].is_up)
        yield from (self._address.at(place) for place in places)
        yield self._address.connect

    async def _ask_map(self, connect: MakeConnection) -> list[SlotRange]:
        """Return the slots and their nodes; nothing where there is no cluster, or no answer."""
        connection = connect()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis leaves it open
                if not await is_clustered(connection):
                    return []
                told = await ask(connection, b"CLUSTER", b"SLOTS")
        except (RedisError, OSError, ValueError) as error:
            logger.debug("the slots cannot be read: %s: %s", type(error).__name__, error)
            return []
        finally:
            await connection.disconnect(nowait=True)
        return _read_ranges(told, host=getattr(connection, "host", self._address.host))

    async def _adopt(self, ranges: list[SlotRange]) -> None:
        """Connect to nodes that are new, then give every slot to its node."""
        places = dict.fromkeys(found.place for found in ranges)
        added = {
            place: self._link_to(self._address.at(place), probe_key=self._probe_key(place, ranges))
            for place in places
            if place not in self._links
        }
        await asyncio.gather(*(link.open() for link in added.values()))
        known = self._links | added
        by_slot = list(self._by_slot)
        for first, last, place in ranges:
            by_slot[first : last + 1] = [known[place]] * (last + 1 - first)
        self._by_slot = by_slot
        self._links = {place: link for place, link in known.items() if place in places}
        gone = [link for place, link in known.items() if place not in places]
        await asyncio.gather(*(link.close() for link in gone))
        self.on_map()

    def _probe_key(self, place: Place, ranges: list[SlotRange]) -> str:
        """Return a key that the node is in charge of."""
        own = [found for found in ranges if found.place == place]
        names = (f"{self._prefix}:probe:{number}" for number in itertools.count())
        return next(name for name in names if _is_in(own, key_slot(name.encode())))


def _is_in(ranges: list[SlotRange], slot: int) -> bool:
    return any(found.first <= slot <= found.last for found in ranges)


def _read_ranges(told: list[list[Any]], *, host: str) -> list[SlotRange]:
    """Read the answer to ``CLUSTER SLOTS``; a node that does not know its name is the one asked."""
    return [
        SlotRange(first, last, Place(node[0].decode() if node[0] else host, node[1]))
        for first, last, node, *_ in told
    ]
