"""Read the keys that clients sign with, and accept each of their assertions once (RFC 7523)."""

import hashlib
from datetime import datetime

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from auth.catalogue import Catalogue
from auth.client_keys import ClientKey
from auth.client_records import read_client_keys
from auth.client_tables import used_assertions
from auth.errors import AssertionReplayed
from auth.rules import is_id


class AssertionStore(Catalogue):
    """Keep what assertions are checked against.

    None of it is a change of the catalogue: no revision, no bump.
    """

    async def read_assertion_keys(self, client_id: str) -> tuple[ClientKey, ...]:
        """Return the keys that a client may sign with now; none for a client that is not."""
        if not is_id(client_id):
            return ()
        now = self._now()
        found = await self._read(
            lambda connection: read_client_keys(connection, [client_id], now=now)
        )
        return found.get(client_id, ())

    async def use_assertion(self, client_id: str, token_id: str, *, expires_at: datetime) -> None:
        """Note that an assertion was accepted, for as long as it would be; on every server.

        Threat: an assertion that was overheard would be good for a token a second time.

        Raises:
            AssertionReplayed: it was accepted before.
        """
        row = {
            "client_id": client_id,
            "digest": hashlib.sha256(token_id.encode()).digest(),
            "expires_at": expires_at,
        }
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(used_assertions).values(**row))
        except IntegrityError:
            raise AssertionReplayed("the assertion was used before") from None

    async def forget_assertions(self) -> None:
        """Drop assertions that have expired, which nobody could use any more."""
        over = delete(used_assertions).where(used_assertions.c.expires_at <= self._now())
        async with self._engine.begin() as connection:
            await connection.execute(over)
