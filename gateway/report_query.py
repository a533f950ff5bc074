"""Read what a usage report is asked for, and write its answer; for HTTP and the command line."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self, cast

from pydantic import BaseModel, Field

from gateway.moments import microseconds, moment_of, parse_moment, rfc3339
from gateway.usage.errors import RangeInvalid
from gateway.usage.period_records import State
from gateway.usage.periods import period_bounds_us, period_of
from gateway.usage.pieces import Bucket
from gateway.usage.reports import Group, UsageQuery, UsageReport

GROUP_BY_PATTERN = r"^(tenant|model|key)(,(tenant|model|key))*$"
_is_group_by = re.compile(GROUP_BY_PATTERN).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWish:
    """What a report is asked for, as it was written; absent parts have defaults."""

    start: str | None = None
    end: str | None = None
    bucket: Bucket = "day"
    group_by: str | None = None
    tenant_id: str | None = None

    @property
    def group_names(self) -> tuple[Group, ...]:
        """Name the group keys in the order they were asked for, each once.

        Raises:
            RangeInvalid: the grouping has no meaning.
        """
        if self.group_by is None:
            return ()
        if _is_group_by(self.group_by) is None:
            raise RangeInvalid("group_by must be a comma list of tenant, model and key")
        names = tuple(dict.fromkeys(self.group_by.split(",")))
        return cast("tuple[Group, ...]", names)

    def about(self, tenant_id: str) -> Self:
        """Wish for the same about one tenant only."""
        return replace(self, tenant_id=tenant_id)


class UsageLine(BaseModel):
    """What was used in a part of the range; of the group keys only those asked for are there."""

    start: str = Field(examples=["2026-11-01T00:00:00Z"])
    end: str = Field(examples=["2026-11-02T00:00:00Z"])
    tenant: str | None = Field(default=None, description="Tenant id")
    model: str | None = Field(default=None, description="Name of the model")
    key: str | None = Field(default=None, description="Key id")
    requests: int
    rows: int
    units: int = Field(description="What is billed")


class UsageDocument(BaseModel):
    """A usage report; parts of the range in which nothing was used have no line."""

    data: list[UsageLine]
    complete_through: str = Field(
        description="Everything that happened before this moment is counted",
        examples=["2026-11-02T09:30:00.123456Z"],
    )
    period_state: State = Field(
        description="Of the months that the range touches, the state of the least final one"
    )


def read_wish(wish: ReportWish, *, now: datetime, prefix: str = "") -> UsageQuery:
    """Understand a wish: half-open in UTC, the current month where no range is given.

    Args:
        wish: what was asked for.
        now: the current month is the one of this moment.
        prefix: what stands before `from` and `to` where they are written.

    Raises:
        RangeInvalid: a moment, the range or the grouping has no meaning.
    """
    first, last = period_bounds_us(period_of(microseconds(now.astimezone(UTC))))
    return UsageQuery(
        start_us=_read(wish.start, name=f"{prefix}from", default_us=first),
        end_us=_read(wish.end, name=f"{prefix}to", default_us=last),
        bucket=wish.bucket,
        group_by=wish.group_names,
        tenant_id=wish.tenant_id,
    )


def usage_document(query: UsageQuery, report: UsageReport, *, period_state: State) -> UsageDocument:
    """Write the answer to a query."""
    lines = [
        UsageLine(
            start=_written(row.start_us),
            end=_written(row.end_us),
            requests=row.requests,
            rows=row.rows,
            units=row.units,
            **dict(zip(query.group_by, row.keys, strict=True)),
        )
        for row in report.rows
    ]
    return UsageDocument(
        data=lines,
        complete_through=_written(report.complete_through_us),
        period_state=period_state,
    )


def _read(text: str | None, *, name: str, default_us: int) -> int:
    return default_us if text is None else microseconds(parse_moment(text, name=name))


def _written(microseconds_since_epoch: int) -> str:
    return rfc3339(moment_of(microseconds_since_epoch))
