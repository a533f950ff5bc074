"""Follow the trials in SQL, note what requests show of them, and hand it in."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.followers import Apply
from auth.keyset import Keyset
from gateway.dataplane.prediction import Call
from gateway.models.trial_counts import TrialBook
from gateway.models.trial_rows import read_trials
from gateway.models.trial_store import TrialStore
from inference.batcher import Prediction
from inference.mirror import Mirror, Mirrored, Served
from inference.predictor import Predictor
from inference.registry import Registry
from inference.router import Router
from inference.routing import UNNAMED, Route

INTERVAL_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


class RouteFollower:
    """Keep the routes of a router as SQL says, in step with the catalogue."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def read(self, connection: AsyncConnection, *, since: int) -> Apply:
        """Read the trials that began or ended after a revision."""
        changed = await read_trials(connection, since=since)

        def apply() -> None:
            routes = dict(self._router.routes)
            for trial in changed:
                routes.pop(trial.route.name, None)
                if trial.is_on:
                    routes[trial.route.name] = trial.route
            self._router.routes = routes

        return apply


class Trials:
    """Note what the requests of one worker show of the trials, and hand it in now and again.

    Whoever is killed loses what it had not handed in: two seconds of statistics, never of the bill.
    """

    def __init__(
        self,
        router: Router,
        store: TrialStore,
        *,
        loop_time: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Hand in to `store`; `loop_time` is the clock of deadlines, `pause` waits for seconds."""
        self.router = router
        self.store = store
        self._loop_time = loop_time
        self._pause = pause
        self._book = TrialBook()
        self._handing_in = asyncio.Lock()
        self._is_away = False
        self.mirror: Mirror | None = None

    def after_answer(self, call: Call, decoded: Any, prediction: Prediction) -> None:  # noqa: ANN401 - its codec's
        """Note an answer, and let the other version try the same."""
        route = self._route_of(call)
        if route is None:
            return
        seconds = prediction.queue_seconds + prediction.compute_seconds
        self._book.answered(route, call.model.version, rows=decoded.rows, seconds=seconds)
        if self.mirror is not None:
            served = Served(call.model, decoded.tensors, prediction.outputs, decoded.rows)
            self.mirror.offer(route, served)

    def after_failure(self, call: Call, error: BaseException) -> None:
        """Note a request that its version did not answer; one whose caller left says nothing."""
        route = self._route_of(call)
        if route is None:
            return
        if isinstance(error, asyncio.CancelledError) and self._loop_time() < call.deadline:
            return
        self._book.failed(route, call.model.version)

    def note_mirrored(self, route: Route, mirrored: Mirrored) -> None:
        """Note what the other version did in the shadow."""
        is_answer = mirrored.comparison is not None
        self._book.mirrored(
            route,
            mirrored.version,
            rows=mirrored.rows,
            seconds=mirrored.seconds if is_answer else None,
        )
        if mirrored.comparison is not None:
            self._book.compared(route, mirrored.champion, mirrored.comparison)

    async def hand_in(self) -> None:
        """Add what was seen so far to what SQL has; it is kept where SQL is away.

        Raises:
            SQLAlchemyError, OSError: the records cannot be reached.
        """
        async with self._handing_in:
            seen = self._book.take()
            if not seen:
                return
            is_done = False
            try:
                await self.store.add_counts(seen)
                is_done = True
            finally:
                if not is_done:
                    self._book.put_back(seen)

    async def keep_handing_in(self) -> None:
        """Hand in until cancelled; tell of an outage once, and of its end."""
        while True:
            await self._pause(INTERVAL_SECONDS)
            await self._try_to_hand_in()

    async def close(self) -> None:
        """Hand in the rest."""
        await self._try_to_hand_in()

    async def _try_to_hand_in(self) -> None:
        try:
            await self.hand_in()
        except (SQLAlchemyError, OSError) as error:
            if not self._is_away:
                logger.warning("what trials show cannot be written: %s", type(error).__name__)
            self._is_away = True
        else:
            self._is_away = False

    def _route_of(self, call: Call) -> Route | None:
        """Find the trial that a request is part of: one that named no version, or a label, is."""
        route = self.router.routes.get(call.model.name)
        return route if route is not None and call.selection == UNNAMED else None


@contextlib.asynccontextmanager
async def open_trials(
    store: TrialStore, keyset: Keyset, *, registry: Registry, predictor: Predictor
) -> AsyncIterator[Trials]:
    """Route, mirror and count until the block ends; what was counted is handed in.

    Call it before the keyset reads SQL for the first time.
    """
    router = Router(registry)
    keyset.follow(RouteFollower(router))
    trials = Trials(router, store, loop_time=asyncio.get_running_loop().time)
    with ThreadPoolExecutor(1, thread_name_prefix="mirror") as executor:
        trials.mirror = Mirror(router, predictor, executor=executor, listener=trials.note_mirrored)
        task = asyncio.create_task(trials.keep_handing_in())
        try:
            yield trials
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            trials.mirror = None
            await trials.close()
