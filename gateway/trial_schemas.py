"""Say what is taken and given of trials: a challenger beside the champion, and what it showed."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from gateway.models.trial_counts import OutputCounts, PairCounts, TrialCounts, VersionCounts
from gateway.models.trial_rows import Trial
from gateway.models.trial_store import Wish
from gateway.schemas import Moment, RequestSchema, ResponseSchema
from gateway.version_schemas import FORCE_MEANING
from inference.estimates import (
    CONFIDENCE,
    Durations,
    Estimate,
    difference_of_means,
    difference_of_shares,
    share_of,
)
from inference.routing import Sticky

Share = Annotated[float, Field(ge=0, le=1)]
_PERCENTILES = (0.5, 0.95, 0.99)


class NewTrial(RequestSchema):
    """A version to try beside the champion, and how much of the requests and the time it gets."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"challenger": "2", "weight": 0.1, "sticky": "tenant"}}
    )

    challenger: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$", description="Its number")]
    weight: Annotated[
        Share, Field(description="Share of the unnamed requests that it answers; 0: a shadow")
    ] = 0.0
    sticky: Annotated[
        Sticky, Field(description="Who stays with a version: a tenant, or each request for itself")
    ] = "tenant"
    budget: Annotated[
        Share,
        Field(description="Share of one thread's time that each worker asks the other version too"),
    ] = 0.0
    tolerance: Annotated[
        Share, Field(description="How far apart floats may be, as a share of the larger, and agree")
    ] = 1e-3
    force: Annotated[bool, Field(description=FORCE_MEANING)] = False

    @property
    def wish(self) -> Wish:
        """Say it as the records do."""
        return Wish(**self.model_dump(exclude={"force"}))


class TrialDocument(ResponseSchema):
    """A trial, on or ended."""

    model: str
    champion: str
    challenger: str
    weight: float
    sticky: Sticky
    budget: float
    tolerance: float
    began_at: Moment
    ended_at: Moment | None

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """Show a trial."""
        route = trial.route
        return cls(
            model=route.name,
            champion=trial.champion,
            challenger=route.challenger,
            weight=route.weight,
            sticky=route.sticky,
            budget=route.budget,
            tolerance=route.tolerance,
            began_at=trial.began_at,
            ended_at=trial.ended_at,
        )


class EstimateDocument(ResponseSchema):
    """A value, and the interval of its confidence; null where there is too little to say."""

    value: float
    low: float | None
    high: float | None


class LatencyDocument(ResponseSchema):
    """Seconds in the queue and in the model; percentiles are right within 5 %."""

    mean: EstimateDocument
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Durations) -> Self | None:
        """Show durations; None where there are none."""
        mean = seconds.moments.estimate()
        if mean is None:
            return None
        if mean.low is not None:
            mean = mean._replace(low=max(0.0, mean.low))  # nothing takes less than no time
        p50, p95, p99 = (seconds.percentile(share) or 0.0 for share in _PERCENTILES)
        return cls(mean=EstimateDocument(**mean._asdict()), p50=p50, p95=p95, p99=p99)


class ConductDocument(ResponseSchema):
    """How one version did with some requests."""

    requests: int
    rows: int
    errors: int
    error_rate: EstimateDocument | None
    latency_seconds: LatencyDocument | None

    @classmethod
    def of(cls, counts: VersionCounts) -> Self:
        """Show counts."""
        return cls(
            requests=counts.requests,
            rows=counts.rows,
            errors=counts.errors,
            error_rate=shown(_error_rate(counts)),
            latency_seconds=LatencyDocument.of(counts.seconds),
        )


class TriedVersionDocument(ResponseSchema):
    """How one version did: with callers, and in the shadow of the other."""

    version: str
    role: Literal["champion", "challenger", "other"]
    served: ConductDocument
    mirrored: ConductDocument


class DifferenceDocument(ResponseSchema):
    """The challenger less the champion, with the requests that each of them answered."""

    error_rate: EstimateDocument | None
    latency_seconds: EstimateDocument | None


class OutputAgreementDocument(ResponseSchema):
    """How one output compares; differences are the challenger's less the champion's."""

    output: str
    agreement: EstimateDocument | None
    difference: EstimateDocument | None
    distance: EstimateDocument | None
    largest_distance: float

    @classmethod
    def of(cls, output: str, counts: OutputCounts) -> Self:
        """Show counts."""
        return cls(
            output=output,
            agreement=shown(counts.agreed.estimate()),
            difference=shown(counts.difference.estimate()),
            distance=shown(counts.distance.estimate()),
            largest_distance=counts.largest,
        )


class AgreementDocument(ResponseSchema):
    """How the answers of both versions to the same rows compare."""

    requests: int
    rows: int
    agreement: EstimateDocument | None
    outputs: list[OutputAgreementDocument]

    @classmethod
    def of(cls, counts: PairCounts) -> Self:
        """Show counts."""
        outputs = sorted(counts.outputs.items())
        return cls(
            requests=counts.agreed.requests,
            rows=counts.agreed.rows,
            agreement=shown(counts.agreed.estimate()),
            outputs=[OutputAgreementDocument.of(name, output) for name, output in outputs],
        )


class ComparisonDocument(ResponseSchema):
    """What a trial has shown so far: each version alone, their difference, and their agreement."""

    trial: TrialDocument
    confidence: float
    versions: list[TriedVersionDocument]
    difference: DifferenceDocument
    agreement: AgreementDocument

    @classmethod
    def of(cls, trial: Trial, counts: TrialCounts) -> Self:
        """Show a trial."""
        champion, challenger = trial.champion, trial.route.challenger
        others = (counts.served.keys() | counts.mirrored.keys()) - {champion, challenger}
        versions = (champion, challenger, *sorted(others, key=int))
        ours = counts.served.get(champion, VersionCounts())
        theirs = counts.served.get(challenger, VersionCounts())
        return cls(
            trial=TrialDocument.of(trial),
            confidence=CONFIDENCE,
            versions=[_tried(version, trial, counts) for version in versions],
            difference=DifferenceDocument(
                error_rate=shown(difference_of_shares(_error_rate(ours), _error_rate(theirs))),
                latency_seconds=shown(
                    difference_of_means(ours.seconds.moments, theirs.seconds.moments)
                ),
            ),
            agreement=AgreementDocument.of(
                counts.pairs.get(f"{champion}:{challenger}", PairCounts())
            ),
        )


def shown(estimate: Estimate | None) -> EstimateDocument | None:
    """Show an estimate."""
    return None if estimate is None else EstimateDocument(**estimate._asdict())


def _tried(version: str, trial: Trial, counts: TrialCounts) -> TriedVersionDocument:
    roles: dict[str, Literal["champion", "challenger"]] = {
        trial.champion: "champion",
        trial.route.challenger: "challenger",
    }
    return TriedVersionDocument(
        version=version,
        role=roles.get(version, "other"),
        served=ConductDocument.of(counts.served.get(version, VersionCounts())),
        mirrored=ConductDocument.of(counts.mirrored.get(version, VersionCounts())),
    )


def _error_rate(counts: VersionCounts) -> Estimate | None:
    return share_of(counts.errors, counts.requests)
