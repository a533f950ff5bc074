"""`tollgate models split`, `shadow`, `compare` and `end-trial`: try one version beside another."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from auth.actor import command
from auth.store import Store
from gateway.cli.console import Json, show, show_json, show_table
from gateway.cli.publishing import Force, ask_publisher
from gateway.cli.records import ask_store
from gateway.models.publisher import Publisher
from gateway.models.trial_rows import Trial
from gateway.models.trial_store import TrialStore, Wish
from gateway.trial_schemas import ComparisonDocument, EstimateDocument, TrialDocument
from inference.routing import Sticky

Answer = TypeVar("Answer")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Challenger = Annotated[
    str, typer.Option(metavar="VERSION", help="Number of the version to try; it must be served.")
]
Tolerance = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="How far apart floats may be, as a share of the larger, and agree."
    ),
]
_BUDGET_HELP = (
    "Share of one thread's time, in each worker, that the other version is asked the same."
)
_COLUMNS = ("version", "role", "of", "requests", "errors", "error_rate", "mean", "p50", "p99")


def add_commands(commands: typer.Typer) -> None:
    """Add the commands to `tollgate models`."""
    for name, function in (
        ("split", split),
        ("shadow", shadow),
        ("compare", compare),
        ("end-trial", end_trial),
    ):
        commands.command(name)(function)


def split(
    *,
    model: Model,
    challenger: Challenger,
    weight: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of requests that it answers, 0 to 1.")
    ],
    sticky: Annotated[
        str, typer.Option(metavar="WHO", help="Who stays with a version: tenant or request.")
    ] = "tenant",
    budget: Annotated[float, typer.Option(metavar="SHARE", help=_BUDGET_HELP)] = 0.0,
    tolerance: Tolerance = 1e-3,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let a challenger answer a share of the requests that name no version.

    In force with the next request. Without a budget the two are compared by latency and errors
    alone; with one, their answers to the same rows too.

    Example: tollgate models split housing --challenger 2 --weight 0.1
    """
    how: Sticky = "request" if sticky == "request" else "tenant"
    if sticky not in ("tenant", "request"):
        raise typer.BadParameter("must be tenant or request", param_hint="--sticky")
    wish = Wish(challenger, weight=weight, sticky=how, budget=budget, tolerance=tolerance)
    _begin(model, wish, force=force, as_json=as_json)


def shadow(
    *,
    model: Model,
    challenger: Challenger,
    budget: Annotated[float, typer.Option(metavar="SHARE", help=_BUDGET_HELP)] = 0.1,
    tolerance: Tolerance = 1e-3,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Ask a challenger the same as the champion, which answers; nobody waits for it or pays it.

    Example: tollgate models shadow housing --challenger 2 --budget 0.2
    """
    wish = Wish(challenger, budget=budget, tolerance=tolerance)
    _begin(model, wish, force=force, as_json=as_json)


def end_trial(*, model: Model, as_json: Json = False) -> None:
    """End a trial: the champion answers everything again, and what was seen stays readable."""
    trial = _ask(lambda store: store.end_trial(model, actor=command()))
    show(TrialDocument.of(trial), as_json=as_json)


def compare(*, model: Model, as_json: Json = False) -> None:
    """Compare the champion and the challenger by what all workers have seen.

    Brackets hold intervals of 95 % confidence. Seconds are those in the queue and the model;
    mirrored requests ran alone, in a thread of their own. What is not older than two seconds may
    be missing.
    """

    async def read(store: TrialStore) -> ComparisonDocument:
        trial = await store.get_trial(model)
        return ComparisonDocument.of(trial, await store.get_counts(trial))

    comparison = _ask(read)
    if as_json:
        show_json(comparison.model_dump(mode="json"))
        return
    show_table(_rows(comparison), columns=_COLUMNS)
    _tell_difference(comparison)
    _tell_agreement(comparison)


def _begin(model: str, wish: Wish, *, force: bool, as_json: bool) -> None:
    async def begin(store: TrialStore, publisher: Publisher) -> Trial:
        if not force:
            await publisher.check_contract(model, wish.challenger)
        return await store.begin_trial(model, wish, actor=command())

    show(TrialDocument.of(ask_publisher(begin)), as_json=as_json)


def _ask(operation: Callable[[TrialStore], Awaitable[Answer]]) -> Answer:
    async def ask(store: Store) -> Answer:
        return await operation(store.part(TrialStore))

    return ask_store(ask)


def _rows(comparison: ComparisonDocument) -> list[dict[str, object]]:
    rows = []
    for version in comparison.versions:
        for kind, conduct in (("served", version.served), ("mirrored", version.mirrored)):
            latency = conduct.latency_seconds
            rows.append(
                {
                    "version": version.version,
                    "role": version.role,
                    "of": kind,
                    "requests": conduct.requests,
                    "errors": conduct.errors,
                    "error_rate": _percent(conduct.error_rate),
                    "mean": latency and _milliseconds(latency.mean),
                    "p50": latency and f"{latency.p50 * 1e3:.2f} ms",
                    "p99": latency and f"{latency.p99 * 1e3:.2f} ms",
                }
            )
    return rows


def _tell_difference(comparison: ComparisonDocument) -> None:
    difference = comparison.difference
    typer.echo("challenger less champion, of the requests that each answered:")
    typer.echo(f"  error rate  {_percent(difference.error_rate) or '-'}")
    typer.echo(f"  mean time   {_milliseconds(difference.latency_seconds) or '-'}")


def _tell_agreement(comparison: ComparisonDocument) -> None:
    agreement = comparison.agreement
    typer.echo(
        f"agreement over {agreement.requests} requests, {agreement.rows} rows, within "
        f"{comparison.trial.tolerance:g}: {_percent(agreement.agreement) or '-'}"
    )
    for output in agreement.outputs:
        typer.echo(
            f"  {output.output}: {_percent(output.agreement)}, difference "
            f"{_number(output.difference) or '-'}, at most {output.largest_distance:.6g}"
        )


def _percent(estimate: EstimateDocument | None) -> str | None:
    return _told(estimate, scale=100.0, form=".2f", unit=" %")


def _milliseconds(estimate: EstimateDocument | None) -> str | None:
    return _told(estimate, scale=1e3, form=".3f", unit=" ms")


def _number(estimate: EstimateDocument | None) -> str | None:
    return _told(estimate, scale=1.0, form=".6g", unit="")


def _told(estimate: EstimateDocument | None, *, scale: float, form: str, unit: str) -> str | None:
    if estimate is None:
        return None
    value = f"{estimate.value * scale:{form}}{unit}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low * scale:{form}}, {estimate.high * scale:{form}}]"
