"""Tokens that were revoked before they expired (RFC 7009), in memory.

Kept for a while past their end, so that a clock that is put back brings none of them back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

KEPT_PAST_EXPIRY: Final = timedelta(hours=2)
_FEWEST_TO_SORT_OUT: Final = 1024


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """Name a token that is refused although its signature is good."""

    token_id: str
    client_id: str
    expires_at: datetime


class RevokedTokens:
    """Know the revoked tokens, for one event loop; the keyset keeps it fresh.

    What has expired is sorted out when there are twice as many as after the last time, so that a
    revocation costs the same however many there are. `now` gives epoch seconds.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._ends: dict[str, float] = {}
        self._sort_out_at = _FEWEST_TO_SORT_OUT

    def __len__(self) -> int:
        """Say how many are remembered."""
        return len(self._ends)

    def __contains__(self, token_id: str) -> bool:
        """Tell whether a token was revoked."""
        return token_id in self._ends

    def apply(self, changed: Iterable[RevokedToken]) -> None:
        """Take in tokens that were revoked."""
        self._ends.update((token.token_id, token.expires_at.timestamp()) for token in changed)
        if len(self._ends) >= self._sort_out_at:
            oldest = self._now() - KEPT_PAST_EXPIRY.total_seconds()
            self._ends = {token: end for token, end in self._ends.items() if end > oldest}
            self._sort_out_at = max(_FEWEST_TO_SORT_OUT, 2 * len(self._ends))
