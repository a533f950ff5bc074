"""What the catalogue takes: every value is checked here before SQL sees it.

Threat: unchecked, a lone surrogate, a NUL or an integer past 64 bits is an error of the database
(a 5xx), and a line break in a name forges lines in logs and tables.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from auth.errors import InvalidChange
from auth.scopes import ALL_SCOPES, PLATFORM_SCOPES
from auth.tenants import ALL_MODELS, PLATFORM_TENANT_ID

NAME_CHARACTERS: Final = 200
MAX_MODELS: Final = 1000
MIN_RATE_PER_SECOND: Final = 1e-6
"""One request in eleven days; the time that one takes up must still be a number."""
MAX_RATE_PER_SECOND: Final = 1_000_000.0
MAX_COUNT: Final = 10**15
MAX_WEIGHT: Final = 1000
MAX_OVERLAP_SECONDS: Final = 90 * 86_400
MAX_PAGE: Final = 10_000

_is_id: Final = re.compile(r"[A-Za-z0-9_]{1,64}").fullmatch
_is_model_name: Final = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def is_id(text: str) -> bool:
    """Tell whether the text has the shape of an id; nothing else is looked up."""
    return _is_id(text) is not None


def check_name(name: str) -> str:
    """Return the name without outer blanks.

    Raises:
        InvalidChange: empty, too long or with characters that do not print.
    """
    stripped = name.strip()
    if not 1 <= len(stripped) <= NAME_CHARACTERS:
        raise InvalidChange(f"must have 1 to {NAME_CHARACTERS} characters", "name")
    if not stripped.isprintable():
        raise InvalidChange("must have printable characters only", "name")
    return stripped


def check_rate(requests_per_second: float | None, burst: int | None) -> int | None:
    """Return the burst that goes with a rate: the one given, else one second's worth.

    Raises:
        InvalidChange: out of range, or a burst without a rate.
    """
    if requests_per_second is None:
        if burst is not None:
            raise InvalidChange("needs requests_per_second", "burst")
        return None
    if not MIN_RATE_PER_SECOND <= requests_per_second <= MAX_RATE_PER_SECOND:
        raise InvalidChange(
            f"must be {MIN_RATE_PER_SECOND:f} to {MAX_RATE_PER_SECOND:.0f}", "requests_per_second"
        )
    check_count(burst, field="burst", least=1)
    return max(1, math.ceil(requests_per_second)) if burst is None else burst


def check_count(count: int | None, *, field: str, least: int) -> None:
    """Pass a limit that counts something.

    Raises:
        InvalidChange: out of range.
    """
    if count is not None and not least <= count <= MAX_COUNT:
        raise InvalidChange(f"must be {least} to {MAX_COUNT}", field)


def check_weight(weight: int) -> None:
    """Pass the weight of a plan.

    Raises:
        InvalidChange: out of range.
    """
    if not 1 <= weight <= MAX_WEIGHT:
        raise InvalidChange(f"must be 1 to {MAX_WEIGHT}", "weight")


def check_override(own: float | None, planned: float | None, *, field: str) -> None:
    """Pass a key's own limit if it is within its plan's.

    Raises:
        InvalidChange: it is above.
    """
    if own is not None and planned is not None and own > planned:
        raise InvalidChange(f"must be at most the plan's {planned:g}", field)


def check_models(models: Iterable[str]) -> list[str]:
    """Return the granted models without repetition.

    Raises:
        InvalidChange: not `["*"]` and not a list of model names.
    """
    names = list(dict.fromkeys(models))
    if names == list(ALL_MODELS):
        return names
    if len(names) > MAX_MODELS:
        raise InvalidChange(f"must be at most {MAX_MODELS}", "models")
    if not all(map(_is_model_name, names)):
        raise InvalidChange('must be ["*"] or names of models', "models")
    return names


def check_scopes(scopes: Iterable[str], *, tenant_id: str) -> list[str]:
    """Return the scopes sorted.

    Threat: a platform scope in a customer's key reaches every tenant.

    Raises:
        InvalidChange: none, unknown, or of the platform for another tenant.
    """
    wanted = frozenset(scopes)
    if not wanted or not wanted <= ALL_SCOPES:
        raise InvalidChange(f"must be some of {', '.join(sorted(ALL_SCOPES))}", "scopes")
    foreign = wanted & PLATFORM_SCOPES
    if foreign and tenant_id != PLATFORM_TENANT_ID:
        raise InvalidChange(f"only for the platform: {', '.join(sorted(foreign))}", "scopes")
    return sorted(wanted)


def check_expiry(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """Return the end of a key in UTC.

    Raises:
        InvalidChange: without a time zone, past, or beyond the calendar.
    """
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        raise InvalidChange("must have a time zone", "expires_at")
    try:
        moment = expires_at.astimezone(UTC)
    except OverflowError:
        raise InvalidChange("is beyond the calendar", "expires_at") from None
    if moment <= now:
        raise InvalidChange("must be in the future", "expires_at")
    return moment


def check_overlap(overlap_seconds: int) -> None:
    """Pass the time that an old secret goes on after a rotation.

    Raises:
        InvalidChange: out of range.
    """
    if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
        raise InvalidChange(f"must be 0 to {MAX_OVERLAP_SECONDS}", "overlap_seconds")


def check_page(after: str | None, limit: int) -> None:
    """Pass the place and the length of a page.

    Raises:
        InvalidChange: not the shape of an id, or an unreasonable length.
    """
    if after is not None and not is_id(after):
        raise InvalidChange("is not a cursor", "after")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidChange(f"must be 1 to {MAX_PAGE}", "limit")
