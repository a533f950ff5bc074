"""Let others keep rows of their own in memory, in step with the catalogue.

Whoever writes rows with `Catalogue` stamps them with its revision; whoever holds them in memory
follows the keyset, and has them as soon as it has the keys: no request that begins after the
change was answered works with what was before.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

Apply: TypeAlias = Callable[[], None]
"""Takes what was read into memory, at once and without failing."""


class Follower(Protocol):
    """Read rows of its own with each load of the catalogue."""

    async def read(self, connection: AsyncConnection, *, since: int) -> Apply:
        """Read what changed after revision `since` (0: all), and give what takes it into memory.

        Called after the revision was read, so that nothing that came in between is missed the next
        time; what is read may be newer than that revision. A load that fails later is repeated
        from the same revision.

        Raises:
            SQLAlchemyError, OSError: the database cannot be read.
        """
