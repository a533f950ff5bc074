"""Write down where a tenant stands: what its plan allows and what its month has left.

The words are those of the ``RateLimit`` headers (draft-ietf-httpapi-ratelimit-headers-10).
"""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from auth.tenants import Plan
from gateway.moments import microseconds, moment_of, rfc3339
from gateway.usage.periods import period_bounds_us, period_of
from gateway.usage.reports import UsageQuery, UsageReport

_SECOND_US = 1_000_000


class MonthStanding(BaseModel):
    """The units of a calendar month (UTC), as they are on the bill by now."""

    quota: int | None = Field(description="Units that the plan covers; null is no limit")
    used: int = Field(description="Units on the bill")
    remaining: int | None = Field(description="Units left; null is no limit")
    reset_seconds: int = Field(description="Seconds until the month ends")
    resets_at: str = Field(examples=["2026-12-01T00:00:00Z"])


class LimitsDocument(BaseModel):
    """The limits of a tenant; null is no limit. Rate and burst are those of each of its keys."""

    tenant_id: str
    requests_per_second: float | None
    burst: int | None
    max_in_flight: int | None
    month: MonthStanding
    complete_through: str = Field(
        description="Everything that happened before this moment is counted",
        examples=["2026-11-02T09:30:00.123456Z"],
    )

    @classmethod
    def of(cls, tenant_id: str, plan: Plan | None, report: UsageReport, *, now: datetime) -> Self:
        """Show where a tenant stands, by a report of `month_of` for the same moment."""
        quota = plan.units_per_month if plan else None
        used = sum(row.units for row in report.rows)
        now_us = microseconds(now)
        _, end_us = period_bounds_us(period_of(now_us))
        return cls(
            tenant_id=tenant_id,
            requests_per_second=plan.requests_per_second if plan else None,
            burst=plan.burst if plan else None,
            max_in_flight=plan.max_in_flight if plan else None,
            month=MonthStanding(
                quota=quota,
                used=used,
                remaining=None if quota is None else max(0, quota - used),
                reset_seconds=-((now_us - end_us) // _SECOND_US),
                resets_at=rfc3339(moment_of(end_us)),
            ),
            complete_through=rfc3339(moment_of(report.complete_through_us)),
        )


def month_of(tenant_id: str, *, now: datetime) -> UsageQuery:
    """Ask for what a tenant used in the month of a moment."""
    start_us, end_us = period_bounds_us(period_of(microseconds(now)))
    return UsageQuery(start_us=start_us, end_us=end_us, bucket="month", tenant_id=tenant_id)
