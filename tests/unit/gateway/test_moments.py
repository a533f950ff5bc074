"""Moments are read and written as RFC 3339 in UTC, exactly."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.moments import microseconds, moment_of, parse_moment, rfc3339
from gateway.usage.errors import RangeInvalid

moments = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:20:30Z", datetime(2026, 11, 1, 10, 20, 30, tzinfo=UTC)),
        ("2026-11-01t10:20:30.5z", datetime(2026, 11, 1, 10, 20, 30, 500_000, tzinfo=UTC)),
        ("2026-11-01T01:00:00+02:00", datetime(2026, 10, 31, 23, tzinfo=UTC)),
    ],
)
def test_moment_is_read(text: str, moment: datetime) -> None:
    """Dates begin at midnight UTC; other offsets are converted."""
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "20261101",
        "2026-W44-1",
        "2026-13-01",
        "2026-11-31",
        "2026-11-01T10:20:30",
        "2026-11-01T10:20:30 00:00",
        "2026-11-01T10:20:30.1234567Z",
        "0001-01-01T00:00:00+14:00",
        "\u0662\u0660\u0662\u0666-11-01",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Without an offset nobody knows which moment is meant, so it is not guessed."""
    with pytest.raises(RangeInvalid):
        parse_moment(text)


@given(moments)
def test_written_moment_reads_back(moment: datetime) -> None:
    """Writing and reading lose nothing."""
    assert parse_moment(rfc3339(moment)) == moment


@given(moments)
def test_microseconds_are_exact(moment: datetime) -> None:
    """No float stands between a moment and its count of microseconds."""
    assert moment_of(microseconds(moment)) == moment


def test_written_moment_is_in_utc() -> None:
    """The letter Z, whatever the offset was."""
    moment = datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-10-31T23:00:00Z"
