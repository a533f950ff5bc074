"""Say what is given of months and corrections, the same over HTTP and by the command line.

The statement of a closed month is what a bill is made from. Its digest is the SHA-256 (FIPS 180-4)
of its canonical JSON: members sorted, no blanks, ASCII.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from auth.audit import canonical
from gateway.moments import moment_of
from gateway.schemas import Id, Moment, RequestSchema, ResponseSchema
from gateway.usage.chain import Sums
from gateway.usage.closing import Seal
from gateway.usage.corrections import Corrected
from gateway.usage.period_records import PeriodRecord, State, Totals

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Hash = Annotated[str, Field(description="SHA-256, hexadecimal")]


class ModelStatement(ResponseSchema):
    """What a tenant used of a model."""

    model: str
    requests: int
    rows: int
    units: int = Field(description="What is billed")


class TenantStatement(ResponseSchema):
    """What a tenant used."""

    tenant_id: str
    requests: int
    rows: int
    units: int
    models: list[ModelStatement]


class Statement(ResponseSchema):
    """What a closed month comes to; use of test keys is in the count of records alone."""

    period: int = Field(examples=[202611])
    start: Moment = Field(description="First moment")
    end: Moment = Field(description="First moment of the next month")
    closed_at: Moment
    record_count: int = Field(description="Records in the chain")
    requests: int
    rows: int
    units: int
    after_sequence: int = Field(description="The records have numbers after this one")
    last_sequence: int
    previous_root: Hash
    root: Hash = Field(description="The last hash of the chain over the records")
    tenants: list[TenantStatement]

    @classmethod
    def of(cls, record: PeriodRecord, totals: Totals) -> Self:
        """State a closed month."""
        start_us, end_us = record.bounds_us
        return cls(
            period=record.period,
            start=moment_of(start_us),
            end=moment_of(end_us),
            closed_at=moment_of(record.closed_at_us or 0),
            record_count=record.record_count or 0,
            requests=record.requests or 0,
            rows=record.rows or 0,
            units=record.units or 0,
            after_sequence=record.after_sequence,
            last_sequence=record.last_sequence or 0,
            previous_root=record.previous_root or "",
            root=record.root or "",
            tenants=_tenants(totals),
        )

    @property
    def canonical(self) -> str:
        """Write it in one way only."""
        return canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """Return what it is known by."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


class PeriodSummary(ResponseSchema):
    """A month in a list."""

    period: int = Field(examples=[202611])
    state: State
    start: Moment
    end: Moment
    closing_at: Moment | None
    closed_at: Moment | None
    record_count: int | None
    requests: int | None
    rows: int | None
    units: int | None
    root: Hash | None
    digest: Hash | None = Field(description="Of the statement")
    signature: str | None = Field(description="Of the statement, where this server signs")
    pruned_at: Moment | None = Field(description="When its records were removed, if they were")

    @classmethod
    def of(cls, record: PeriodRecord) -> Self:
        """Show a month."""
        return cls(**_summary(record))


class PeriodDocument(PeriodSummary):
    """A month, with its statement when it is closed."""

    statement: Statement | None
    waiting_for: list[str] = Field(
        description="Journals that have not delivered all of a month that is closing"
    )

    @classmethod
    def told(cls, record: PeriodRecord, totals: Totals, *, waiting_for: Sequence[str] = ()) -> Self:
        """Show a month with all that is known of it."""
        is_closed = record.state == "closed"
        return cls(
            **_summary(record),
            statement=Statement.of(record, totals) if is_closed else None,
            waiting_for=list(waiting_for),
        )


class PeriodPage(ResponseSchema):
    """Every month that is known, the earliest first."""

    data: list[PeriodSummary]
    next: None = None


class NewCorrection(RequestSchema):
    """What is added to the bill of a request in the open month; rows and units have a sign."""

    request_id: Annotated[Id, Field(description="Of the record that is corrected")]
    rows: Whole = 0
    units: Whole = 0
    reason: Annotated[str, Field(min_length=1, max_length=1000, description="For the audit log")]
    correction_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="The same one again does nothing; absent, one is made",
        ),
    ] = None
    force: Annotated[
        bool, Field(description="Correct even if less than nothing is left of the request")
    ] = False


class CorrectionDocument(ResponseSchema):
    """A correction on the bill."""

    correction_id: str
    request_id: str
    tenant_id: str
    model: str
    rows: int
    units: int
    period: int = Field(description="The month that it counts in")
    sequence: int
    occurred_at: Moment

    @classmethod
    def of(cls, corrected: Corrected) -> Self:
        """Show a correction."""
        correction = corrected.correction
        return cls(
            correction_id=correction.correction_id,
            request_id=correction.request_id,
            tenant_id=corrected.tenant_id,
            model=corrected.model,
            rows=correction.rows,
            units=correction.units,
            period=corrected.period,
            sequence=corrected.sequence,
            occurred_at=moment_of(corrected.occurred_at_us),
        )


def seal_statement(record: PeriodRecord, totals: Totals) -> Seal:
    """Return what the statement of a month that is being closed is known by."""
    return Seal(Statement.of(record, totals).digest, None)


def _summary(record: PeriodRecord) -> dict[str, Any]:
    start_us, end_us = record.bounds_us
    moments = {
        "start": start_us,
        "end": end_us,
        "closing_at": record.closing_at_us,
        "closed_at": record.closed_at_us,
        "pruned_at": record.pruned_at_us,
    }
    copied = (
        *("period", "state", "record_count", "requests", "rows", "units"),
        *("root", "digest", "signature"),
    )
    return {
        name: None if moment_us is None else moment_of(moment_us)
        for name, moment_us in moments.items()
    } | {name: getattr(record, name) for name in copied}


def _tenants(totals: Totals) -> list[TenantStatement]:
    """Order what is billed by tenant and model."""
    by_tenant: dict[str, list[ModelStatement]] = {}
    for account, sums in sorted(totals.items()):
        if not account.is_test:
            lines = by_tenant.setdefault(account.tenant_id, [])
            lines.append(ModelStatement(model=account.model, **sums._asdict()))
    return [_tenant(tenant_id, lines) for tenant_id, lines in by_tenant.items()]


def _tenant(tenant_id: str, lines: list[ModelStatement]) -> TenantStatement:
    whole = Sums()
    for line in lines:
        whole = whole.plus(Sums(line.requests, line.rows, line.units))
    return TenantStatement(tenant_id=tenant_id, models=lines, **whole._asdict())
