"""Name places in the ledger by opaque texts that tell their holder nothing.

Threat: a plain sequence number tells a tenant how much all others used between two readings. So it
is sealed, the same way every time, and its length tells nothing. It is sealed for one tenant and
one query: with a cursor of somebody else, or moved to other bounds, nobody reads what the query
would not have shown.
"""

import base64
import binascii
import json
from typing import Final

from auth.errors import SealBroken
from auth.sealing import Sealer
from gateway.errors import CursorInvalid
from gateway.usage.reading import RecordWish

MAX_CURSOR_CHARACTERS: Final = 64

_PLACE_BYTES: Final = 8


class Cursors:
    """Write and read the cursors of one query."""

    def __init__(self, sealer: Sealer, wish: RecordWish) -> None:
        """Bind them to what is wished for, the tenant included."""
        self._sealer = sealer
        bounds = [wish.start_us, wish.end_us, wish.tenant_id, wish.model, wish.key_id, wish.is_test]
        self._context = f"usage cursor: {json.dumps(bounds)}"

    def write(self, sequence: int) -> str:
        """Return the cursor of the place behind a record; 0 is the beginning."""
        place = sequence.to_bytes(_PLACE_BYTES, "big")
        return _text(self._sealer.seal_alike(place, self._context))

    def read(self, cursor: str) -> int:
        """Return the sequence number that a cursor stands for.

        Raises:
            CursorInvalid: it is none of this query; garbage and others' get the same answer.
        """
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            place = self._sealer.open_alike(sealed, self._context)
        except (ValueError, binascii.Error, SealBroken):
            raise CursorInvalid from None
        if _text(sealed) != cursor or len(place) != _PLACE_BYTES:
            raise CursorInvalid
        return int.from_bytes(place, "big")


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
