"""Read and end trials within a transaction, whoever makes the change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.audit import Event
from auth.rows import AnyRow
from auth.tenants import PLATFORM_TENANT_ID
from gateway.models.routing_tables import model_routes
from gateway.models.rows import label_event, read_book, target_of
from gateway.models.version_store import put_label
from inference.routing import Route, Sticky

CHALLENGER: Final = "challenger"
"""The label of the version on trial, for as long as it is."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The latest trial of a model."""

    route: Route
    champion: str
    """The version that answered without a trial when this one began."""

    began_at: datetime
    ended_at: datetime | None

    @property
    def is_on(self) -> bool:
        """Whether requests are routed by it."""
        return self.ended_at is None


async def trial_in(connection: AsyncConnection, name: str) -> Trial | None:
    """Read the latest trial of a model."""
    query = select(model_routes).where(model_routes.c.name == name)
    row = (await connection.execute(query)).first()
    return None if row is None else trial_from(row)


async def end_trial_in(
    connection: AsyncConnection, name: str, *, revision: int, now: datetime
) -> tuple[Event, ...]:
    """End the trial of a model, should one be on, and return what to tell the audit log of it.

    The label `challenger` goes with it, so that nothing keeps the version from being retired.
    """
    before = await trial_in(connection, name)
    if before is None or not before.is_on:
        return ()
    ended = update(model_routes).where(model_routes.c.name == name)
    await connection.execute(ended.values(ended_at=now, revision=revision))
    after = replace(before, ended_at=now)
    events = [trial_event("model.trial.end", before, after)]
    label = (await read_book(connection, name)).labels.get(CHALLENGER)
    if label is not None and before.route.challenger in (label.version, label.pending):
        taken_away = replace(label, version=None, pending=None, is_return=False)
        await put_label(connection, taken_away, revision=revision)
        events.append(label_event(label, taken_away))
    return tuple(events)


async def read_trials(connection: AsyncConnection, *, since: int) -> tuple[Trial, ...]:
    """Read the trials that began or ended after a revision (0: all)."""
    rows = await connection.execute(select(model_routes).where(model_routes.c.revision > since))
    return tuple(map(trial_from, rows))


def trial_from(row: AnyRow) -> Trial:
    """Read a row of `model_routes`."""
    route = Route(
        name=row.name,
        challenger=row.challenger,
        weight=row.weight,
        sticky=cast("Sticky", row.sticky),
        budget=row.budget,
        tolerance=row.tolerance,
        trial=row.trial,
    )
    return Trial(route, row.champion, row.began_at, row.ended_at)


def trial_event(action: str, before: Trial | None, after: Trial) -> Event:
    """Tell of a trial that began or ended."""
    return Event(
        action=action,
        tenant_id=PLATFORM_TENANT_ID,
        target=target_of(after.route.name),
        before=_facts(before),
        after=_facts(after),
    )


def _facts(trial: Trial | None) -> Mapping[str, Any] | None:
    """Say how requests are routed; None where no trial is on."""
    if trial is None or not trial.is_on:
        return None
    route = trial.route
    return {
        "champion": trial.champion,
        "challenger": route.challenger,
        "weight": route.weight,
        "sticky": route.sticky,
        "budget": route.budget,
        "tolerance": route.tolerance,
    }
