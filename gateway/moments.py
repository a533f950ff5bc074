"""Read and write moments as RFC 3339, always in UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, WithJsonSchema

from gateway.usage.errors import RangeInvalid

MomentText = Annotated[
    str,
    Field(max_length=40),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}),
]
"""A date or an RFC 3339 moment in a query, as `parse_moment` reads it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(
    r"\d{4}-\d{2}-\d{2}([Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2}))?", re.ASCII
)
_HINT = "{} must be a date (2026-11-01) or an RFC 3339 moment (2026-11-01T00:00:00Z)"


def parse_moment(text: str, *, name: str = "the moment") -> datetime:
    """Read a moment with an offset, or a date, which begins at midnight UTC.

    Args:
        text: what somebody wrote.
        name: of the parameter or option that it was written for.

    Raises:
        RangeInvalid: neither, or beyond the calendar.
    """
    if _FORM.fullmatch(text) is None:
        raise RangeInvalid(_HINT.format(name))
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RangeInvalid(_HINT.format(name)) from None


def rfc3339(moment: datetime) -> str:
    """Write a moment with the letter Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def microseconds(moment: datetime) -> int:
    """Count the microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds_since_epoch: int) -> datetime:
    """Return the moment so many microseconds after 1970, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds_since_epoch)
