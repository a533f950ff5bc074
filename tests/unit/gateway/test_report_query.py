"""A report's wish is understood exactly, or refused."""

from datetime import UTC, datetime

import pytest

from gateway.moments import microseconds
from gateway.report_query import ReportWish, read_wish, usage_document
from gateway.usage.errors import RangeInvalid
from gateway.usage.reports import UsageReport, UsageRow

NOW = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


def _us(year: int, month: int, day: int) -> int:
    return microseconds(datetime(year, month, day, tzinfo=UTC))


def test_default_range_is_the_current_month() -> None:
    """Half-open: up to the first moment of the next month."""
    query = read_wish(ReportWish(), now=NOW)
    assert (query.start_us, query.end_us) == (_us(2026, 12, 1), _us(2027, 1, 1))
    assert (query.bucket, query.group_by, query.tenant_id) == ("day", (), None)


def test_range_and_tenant_are_taken_over() -> None:
    """Dates begin at midnight UTC."""
    wish = ReportWish(start="2026-11-01", end="2026-11-03T00:00:00Z", tenant_id="ten_1")
    query = read_wish(wish, now=NOW)
    assert (query.start_us, query.end_us) == (_us(2026, 11, 1), _us(2026, 11, 3))
    assert query.tenant_id == "ten_1"


def test_group_keys_keep_their_order_and_stand_once() -> None:
    """The order is the caller's, since rows are sorted by it."""
    query = read_wish(ReportWish(group_by="key,model,key"), now=NOW)
    assert query.group_by == ("key", "model")


@pytest.mark.parametrize("group_by", ["", ",", "model,", "colour", "model;key", "model\n"])
def test_unknown_grouping_is_refused(group_by: str) -> None:
    """Nothing is grouped by what does not exist."""
    with pytest.raises(RangeInvalid):
        read_wish(ReportWish(group_by=group_by), now=NOW)


def test_lines_name_the_group_keys_that_were_asked_for() -> None:
    """Other group keys are absent, not null."""
    query = read_wish(ReportWish(group_by="model"), now=NOW)
    row = UsageRow(_us(2026, 12, 1), _us(2026, 12, 2), ("housing",), 2, 3, 3)
    document = usage_document(query, UsageReport([row], _us(2026, 12, 31)), period_state="open")
    assert document.model_dump(mode="json", exclude_unset=True) == {
        "data": [
            {
                "start": "2026-12-01T00:00:00Z",
                "end": "2026-12-02T00:00:00Z",
                "model": "housing",
                "requests": 2,
                "rows": 3,
                "units": 3,
            }
        ],
        "complete_through": "2026-12-31T00:00:00Z",
        "period_state": "open",
    }
