"""Begin and end trials of a model's versions, and add up what all workers see in them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import Audited, Event
from auth.catalogue import EVERY_TENANT
from auth.errors import InvalidChange
from gateway.errors import TrialNotFound, VersionUnavailable
from gateway.models.label_store import ModelStore
from gateway.models.records import LabelRecord, ModelBook
from gateway.models.routing_tables import SUBJECT_CHARACTERS, model_routes, model_trial_counts
from gateway.models.rows import read_book
from gateway.models.trial_counts import (
    Counts,
    Subject,
    TrialCounts,
    counts_from,
    counts_to_json,
    sum_with_stored,
)
from gateway.models.trial_rows import CHALLENGER, Trial, end_trial_in, trial_event, trial_in
from gateway.models.version_store import version_in
from inference.routing import Route, Sticky

_SAME_TRIAL: Final = ("challenger", "weight", "sticky", "budget", "tolerance")
_is_name: Final = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
_is_version: Final = re.compile(r"[1-9][0-9]{0,17}").fullmatch


@dataclass(frozen=True, slots=True)
class Wish:
    """How the requests of a model are to be routed; see `Route` for the meaning of each."""

    challenger: str
    weight: float = 0.0
    sticky: Sticky = "tenant"
    budget: float = 0.0
    tolerance: float = 1e-3


class TrialStore(ModelStore):
    """Keep the trials, one for each model, and what they show."""

    async def begin_trial(self, name: str, wish: Wish, *, actor: Actor) -> Trial:
        """Route the requests of a model by a wish from the next request on, and count anew.

        The challenger gets the label `challenger`, so that the policy of versions cannot take it
        away. What an earlier trial showed is forgotten: shares of requests that were routed by
        other weights must not be added up. The wish that is in force already changes nothing.

        Raises:
            InvalidChange: a value is out of range, the challenger is the champion, or it would get
                no request.
            ModelNotFound: there is no such version.
            VersionUnavailable: it is not served.
        """
        _check(name, wish)
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[Trial]:
            before = await trial_in(connection, name)
            if before is not None and before.is_on and _wish_of(before.route) == wish:
                return Audited(before)
            events = list(await end_trial_in(connection, name, revision=revision, now=now))
            book = await read_book(connection, name)
            champion = _champion_in(book, wish.challenger)
            events += await self._label(connection, book, wish.challenger, revision=revision)
            route = Route(name=name, trial=revision, **asdict(wish))
            after = Trial(route, champion, now, None)
            await _put(connection, after, revision=revision)
            return Audited(after, *events, trial_event("model.trial.begin", None, after))

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def end_trial(self, name: str, *, actor: Actor) -> Trial:
        """Let the champion answer everything from the next request on; once more changes nothing.

        What the trial showed stays until the next one.

        Raises:
            TrialNotFound: there never was one.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[Trial]:
            events = await end_trial_in(connection, name, revision=revision, now=self._now())
            return Audited(await _found(connection, name), *events)

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def get_trial(self, name: str) -> Trial:
        """Return the latest trial of a model, on or ended.

        Raises:
            TrialNotFound: there never was one.
        """
        return await self._read(lambda connection: _found(connection, name))

    async def get_counts(self, trial: Trial) -> TrialCounts:
        """Return what the workers have handed in of a trial so far."""
        counts = model_trial_counts.c
        query = select(counts.subject, counts.counts).where(
            counts.name == trial.route.name, counts.trial == trial.route.trial
        )

        async def operation(connection: AsyncConnection) -> TrialCounts:
            rows = await connection.execute(query)
            return counts_from((row.subject, row.counts) for row in rows)

        return await self._read(operation)

    async def _label(
        self, connection: AsyncConnection, book: ModelBook, version: str, *, revision: int
    ) -> tuple[Event, ...]:
        """Name the version on trial, as soon as every worker has it."""
        label = book.labels.get(CHALLENGER, LabelRecord(book.name, CHALLENGER, None))
        wished = replace(label, pending=version, is_return=False)
        return (await self._move(connection, book, wished, revision=revision)).events

    async def add_counts(self, seen: Mapping[Subject, Counts]) -> None:
        """Add what one worker saw since it last did; what is of an earlier trial is left out.

        Each row is locked while it is added to, in one order for everybody, so that nothing is
        lost and nobody waits in a circle. No change of the catalogue: nothing is bumped.

        Raises:
            SQLAlchemyError, OSError: nothing was added.
        """
        async with self._engine.begin() as connection:
            names = {subject.name for subject in seen}
            rows = await connection.execute(_locked_trials(names))
            latest = {row.name: row.trial for row in rows}
            for subject in sorted(seen):
                if latest.get(subject.name) == subject.trial:
                    await _add(connection, subject, seen[subject])


async def _found(connection: AsyncConnection, name: str) -> Trial:
    trial = await trial_in(connection, name)
    if trial is None:
        raise TrialNotFound(name)
    return trial


def _champion_in(book: ModelBook, challenger: str) -> str:
    """Find the version that answers without a trial, beside a challenger that is served."""
    record = version_in(book, challenger)
    champion = book.view().default
    if record.state != "serving" or champion is None:
        state = "not served" if record.state == "serving" else record.state
        raise VersionUnavailable(f"version {challenger} is {state}")
    if champion == challenger:
        raise InvalidChange("must be another version than the champion", "challenger")
    return champion


async def _put(connection: AsyncConnection, trial: Trial, *, revision: int) -> None:
    """Write a new trial in the place of the one before, which is forgotten with its counts."""
    route = asdict(trial.route)
    for table in (model_routes, model_trial_counts):
        await connection.execute(delete(table).where(table.c.name == trial.route.name))
    values = route | {"champion": trial.champion, "began_at": trial.began_at}
    await connection.execute(insert(model_routes).values(**values, revision=revision))


async def _add(connection: AsyncConnection, subject: Subject, seen: Counts) -> None:
    """Add to one row; whoever has the lock of the trial's row is alone with it."""
    key = {"name": subject.name, "trial": subject.trial, "subject": subject.text}
    if len(subject.text) > SUBJECT_CHARACTERS:
        return
    place = [model_trial_counts.c[column] == value for column, value in key.items()]
    stored = await connection.scalar(select(model_trial_counts.c.counts).where(*place))
    if stored is None:
        values = counts_to_json(seen)
        await connection.execute(insert(model_trial_counts).values(**key, counts=values))
        return
    total = counts_to_json(sum_with_stored(seen, stored))
    await connection.execute(update(model_trial_counts).where(*place).values(counts=total))


def _locked_trials(names: Iterable[str]) -> Select[Any]:
    routes = model_routes.c
    found = select(routes.name, routes.trial).where(routes.name.in_(sorted(names)))
    return found.order_by(routes.name).with_for_update()


def _check(name: str, wish: Wish) -> None:
    if _is_name(name) is None:
        raise InvalidChange("must be the name of a model", "model")
    if _is_version(wish.challenger) is None:
        raise InvalidChange("must be the number of a version", "challenger")
    for field in ("weight", "budget", "tolerance"):
        if not 0.0 <= getattr(wish, field) <= 1.0:
            raise InvalidChange("must be 0 to 1", field)
    if wish.sticky not in ("tenant", "request"):
        raise InvalidChange("must be tenant or request", "sticky")
    if not wish.weight and not wish.budget:
        raise InvalidChange("must be above 0 where the weight is 0", "budget")


def _wish_of(route: Route) -> Wish:
    return Wish(**{field: getattr(route, field) for field in _SAME_TRIAL})
