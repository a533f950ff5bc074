"""Tokens by which a device is known from which an admin has logged in before.

They open nothing: who shows one is counted apart from strangers, so that nobody who guesses can
keep the owner out (OWASP, "Blocking Brute Force Attacks", device cookies).
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from auth.api_keys import random_base62
from auth.errors import SealBroken
from auth.sealing import Sealer

MAX_CHARACTERS: Final = 512
LIFETIME_SECONDS: Final = 90 * 86_400
_CONTEXT: Final = "device"
_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Device:
    """Name a device and the account that it is known to."""

    device_id: str
    username: str


class Devices:
    """Issue and read device tokens; nothing of them is stored. `now` gives epoch seconds.

    Threat: a token that a guesser could make would be a count of its own, so it is sealed with the
    server's key.
    """

    def __init__(self, sealer: Sealer, *, now: Callable[[], float]) -> None:
        self._sealer = sealer
        self._now = now

    def issue(self, username: str, *, known: Device | None) -> str:
        """Make a token for a device that has just logged in; a known one keeps its id."""
        device_id = random_base62(_ID_CHARACTERS) if known is None else known.device_id
        members = [device_id, username, int(self._now()) + LIFETIME_SECONDS]
        sealed = self._sealer.seal(json.dumps(members).encode(), _CONTEXT)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, text: str | None) -> Device | None:
        """Return the device of a token; None for none, a false one, and one that has ended."""
        if text is None or len(text) > MAX_CHARACTERS or not text.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            device_id, username, ends_at = json.loads(self._sealer.open(sealed, _CONTEXT))
        except (binascii.Error, SealBroken):
            return None
        return Device(device_id, username) if self._now() < ends_at else None
