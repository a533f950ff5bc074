"""What a connection and the prediction door tell each other, in the scope of a request."""

from collections.abc import MutableMapping
from typing import Any, Final, Protocol

LOST: Final = "tollgate.lost"
"""Stands in the scope of a request whose connection is gone."""

WATCH: Final = "tollgate.watch"
"""Where the connection finds the watch of a request, to tell it that the client left."""

CONNECTION: Final = "tollgate.connection"
"""Where the door finds the `Connection` of a request, if it has one that writes answers at once."""

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]


class Connection(Protocol):
    """A connection that reads a body to where it is used, and writes an answer in one piece."""

    async def receive_into(self, scope: Scope, place: memoryview) -> bool:
        """Fill a place with all that is missing of a body; False where it comes as messages only.

        Raises:
            ClientDisconnected: nobody sends the rest.
        """

    def answer(self, scope: Scope, headers: Headers, body: bytes) -> bool:
        """Answer 200; False where nothing was written and the answer has to be sent in parts."""
