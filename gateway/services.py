"""Open everything a server holds, once, and hand it out as one typed value."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from auth.authenticator import Authenticator
from auth.keyset import Keyset
from auth.sealing import Sealer
from auth.store import Store
from auth.tokens import TokenIssuer
from gateway.attempts import AttemptWindows, ClientAttempts, FailedAttempts
from gateway.background import keep_fresh, keep_tidy
from gateway.data_folder import JOURNALS
from gateway.dataplane.idempotency import Idempotency
from gateway.dataplane.prediction import PredictionPath
from gateway.delivery.background import keep_delivering, open_deliverers
from gateway.delivery.deliverer import Deliverer
from gateway.errors import RepositoryMissing, SettingInvalid
from gateway.gate import Gate, open_gate
from gateway.limits.limiter import Limiter
from gateway.limits.local_limiter import LocalLimiter
from gateway.limits.redis_address import RedisUrlInvalid
from gateway.limits.redis_limiter import PREFIX, SCRIPT, WHEN_AWAY, RedisLimiter
from gateway.limits.redis_link import GRACE_SECONDS, LinkTimes
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.shares import Share
from gateway.model_settings import open_vetter
from gateway.models.opening import open_keeper
from gateway.models.publisher import Publisher
from gateway.models.trial_store import TrialStore
from gateway.models.trials import Trials, open_trials
from gateway.people import People, open_people
from gateway.receipt_desk import open_desk
from gateway.reconciliation import Reconciler, keep_reconciling
from gateway.records import Records, open_records
from gateway.retries import open_claims, open_idempotency
from gateway.settings import Settings
from gateway.signing_key_care import keep_signing_keys, purposes_of
from gateway.token_server import TokenServer
from gateway.usage.claims import Claims
from gateway.usage.journal import Journal
from gateway.usage.journal_folder import JournalFolder, keep_adopting
from gateway.usage.ledger import Ledger
from gateway.usage.periods import period_of, wall_clock_us
from gateway.usage.reports import month_units
from gateway.usage.shipper import Shipper
from inference.predictor import Predictor
from inference.registry import Registry
from inference.tracks import open_back_executors
from inference.vetter import Vetter

_LEASE_SLACK_SECONDS = 60.0


def nobody_waits() -> None:
    """Tell nobody how far the start has come."""


@dataclass(frozen=True, slots=True)
class Services:
    """What routes and the data plane work with; lives as long as the server."""

    settings: Settings
    engine: AsyncEngine
    store: Store
    models: TrialStore
    gate: Gate
    token_server: TokenServer
    attempts: FailedAttempts
    people: People
    vetter: Vetter
    registry: Registry
    predictor: Predictor
    limiter: Limiter
    journal: Journal
    shipper: Shipper
    prediction: PredictionPath
    idempotency: Idempotency
    trials: Trials
    deliverers: tuple[Deliverer, ...]
    reconciler: Reconciler | None
    """One of those of a server is elected; None where nobody wants that."""

    @property
    def keyset(self) -> Keyset:
        """Every credential in memory."""
        return self.gate.keyset

    @property
    def authenticator(self) -> Authenticator:
        """What tells who calls."""
        return self.gate.authenticator

    @property
    def token_issuer(self) -> TokenIssuer:
        """What signs access tokens."""
        return self.gate.issuer

    @property
    def publisher(self) -> Publisher:
        """What changes the versions that are served."""
        return Publisher(
            self.models,
            self.vetter,
            root=self.settings.model_repository,
            wait_seconds=self.settings.model_swap_seconds,
        )

    def not_ready_reasons(self) -> list[str]:
        """Say why this server should get no predictions now; empty when it should.

        A model that did not load takes no traffic away from the others: it is in the log and
        answers 503 itself. The reasons are public and name nothing.
        """
        reasons = []
        if not self.registry.models():
            reasons.append("no model is loaded")
        if not self.journal.is_writable:
            reasons.append("the usage journal cannot be written")
        return reasons


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, *, on_prepared: Callable[[], None] = nobody_waits
) -> AsyncIterator[Services]:
    """Open the records, the models, the bill and the limits, in this order; close them reversed.

    Usage that an earlier run left in a journal is delivered before the quotas are read, so that
    a restart gives nothing back. `on_prepared` is called when all is open but what another process
    still holds.

    Raises:
        StartRefused: the settings or the data folder are not usable; the message says what to do.
        SchemaMismatch: the database is older or newer than this program.
        JournalInUse: another server works in this data folder.
    """
    async with contextlib.AsyncExitStack() as stack:
        records = await stack.enter_async_context(open_records(settings))
        gate = await open_gate(settings, records)
        attempts = _count_attempts(settings)
        people = await stack.enter_async_context(open_people(settings, records))
        models = await _open_models(settings, records.store, gate.keyset, stack=stack)
        engine = records.gate_engine
        journal, shipper, claims = await _open_bill(settings, engine, stack, tell=on_prepared)
        limiter = await _open_limiter(settings, stack, _share_of(settings, journal))
        await _read_in(gate.keyset, limiter, engine)
        path = _build_path(settings, gate, models=models, limiter=limiter, journal=journal)
        services = Services(
            settings=settings,
            engine=records.engine,
            store=records.store,
            models=models.store,
            gate=gate,
            token_server=_build_token_server(settings, gate, records.store, attempts=attempts),
            attempts=attempts,
            people=people,
            vetter=models.vetter,
            registry=models.registry,
            predictor=models.predictor,
            limiter=limiter,
            journal=journal,
            shipper=shipper,
            prediction=path,
            idempotency=open_idempotency(settings, path, journal, claims=claims, stack=stack),
            trials=models.trials,
            deliverers=open_deliverers(settings, engine),
            reconciler=await _open_reconciler(settings, records, stack, limiter=limiter),
        )
        await _keep_up(services, stack, sealer=records.sealer)
        yield services


def _build_path(
    settings: Settings, gate: Gate, *, models: "_Models", limiter: Limiter, journal: Journal
) -> PredictionPath:
    """Let the four pillars meet."""
    trials = models.trials
    path = PredictionPath(
        keyset=gate.keyset,
        authenticator=gate.authenticator,
        router=trials.router,
        predictor=models.predictor,
        limiter=limiter,
        journal=journal,
        loop_time=asyncio.get_running_loop().time,
        is_replicated=settings.replicas > 1,
    )
    path.after_answer, path.after_failure = trials.after_answer, trials.after_failure
    return path


async def _keep_up(services: Services, stack: contextlib.AsyncExitStack, *, sealer: Sealer) -> None:
    """Do beside the requests what time asks for, until the stack is closed."""
    store = services.store
    times = services.settings.session_times
    fresh = keep_fresh(services.keyset, services.authenticator, store, times=times)
    await stack.enter_async_context(fresh)
    await stack.enter_async_context(keep_tidy(store))
    settings = services.settings
    if settings.receipts:
        services.prediction.write_receipt = open_desk(settings, services.keyset, sealer)
    care = keep_signing_keys(store, purposes_of(settings), max_age=settings.signing_key_age)
    await stack.enter_async_context(care)
    await stack.enter_async_context(keep_delivering(services.deliverers))


def _count_attempts(settings: Settings) -> FailedAttempts:
    return FailedAttempts(
        settings.failed_attempts_per_minute,
        AttemptWindows(now=time.monotonic),
        trusts_proxy=settings.trusts_proxy,
    )


def _build_token_server(
    settings: Settings, gate: Gate, store: Store, *, attempts: FailedAttempts
) -> TokenServer:
    limit = settings.failed_attempts_per_minute
    return TokenServer(
        gate,
        store,
        attempts=attempts,
        client_attempts=ClientAttempts(limit, AttemptWindows(now=time.monotonic)),
        audience=settings.resolved_audience,
        issuer=settings.resolved_issuer,
        is_replicated=settings.replicas > 1,
        trusts_proxy=settings.trusts_proxy,
    )


class _Models(NamedTuple):
    """What the predictor consists of."""

    store: TrialStore
    vetter: Vetter
    registry: Registry
    predictor: Predictor
    trials: Trials


async def _open_models(
    settings: Settings, catalogue: Store, keyset: Keyset, *, stack: contextlib.AsyncExitStack
) -> _Models:
    """Vet and load what is served; a version that does not load is told by readiness."""
    root = settings.model_repository
    vetter = open_vetter(settings)
    if not root.is_dir():
        raise RepositoryMissing(root)
    executor = ThreadPoolExecutor(settings.concurrent_runs, thread_name_prefix="model")
    stack.callback(executor.shutdown)
    back_executors = open_back_executors(settings.back_runs)
    if back_executors is not None:
        stack.callback(back_executors.shutdown)
    store = catalogue.part(TrialStore)
    registry = Registry()
    predictor = Predictor(registry, executor, back_executors)
    stack.callback(predictor.close)
    opening = open_keeper(store, registry, predictor, root=root, vetter=vetter)
    keyset.follow(await stack.enter_async_context(opening))
    trials = await stack.enter_async_context(
        open_trials(store, keyset, registry=registry, predictor=predictor)
    )
    return _Models(store, vetter, registry, predictor, trials)


async def _open_bill(
    settings: Settings,
    engine: AsyncEngine,
    stack: contextlib.AsyncExitStack,
    *,
    tell: Callable[[], None],
) -> tuple[Journal, Shipper, Claims]:
    """Take a journal, after what others left behind is in the ledger.

    Limits in the process are exact while there is one process, so then there is one journal, and
    whoever holds it is waited for.
    """
    ledger = Ledger(engine)
    claims = open_claims(settings, stack)
    folder = JournalFolder(
        settings.data_dir / JOURNALS,
        ledger,
        max_bytes=settings.journal_max_bytes,
        max_answer_bytes=settings.idempotency_max_bytes,
        claims=claims,
    )
    async with folder.starting():
        is_alone = await folder.adopt()
        if settings.redis_url:
            journal = await folder.take_free()
        else:
            journal = await folder.take_first(tell)
        stack.push_async_callback(journal.close)
        shipper = Shipper(
            journal,
            ledger,
            interval_seconds=settings.ship_interval_seconds,
            is_alone=is_alone and not settings.database_url,  # nobody else has this ledger
        )
        await shipper.start()
    stack.push_async_callback(shipper.close)
    await stack.enter_async_context(keep_adopting(folder))
    return journal, shipper, claims


async def _open_limiter(
    settings: Settings, stack: contextlib.AsyncExitStack, share: Share
) -> Limiter:
    """Count in this process, or in Redis where one is named; a Redis that is away stops nothing."""
    lease_seconds = settings.request_timeout_seconds + _LEASE_SLACK_SECONDS
    local = LocalLimiter(
        monotonic_ns=time.monotonic_ns, wall_ns=time.time_ns, lease_seconds=lease_seconds
    )
    if not settings.redis_url:
        return local
    try:
        nodes = RedisNodes(
            settings.redis_url.get_secret_value(),
            SCRIPT,
            prefix=PREFIX,
            when_away=WHEN_AWAY,
            times=LinkTimes(budget_seconds=settings.redis_timeout_seconds - GRACE_SECONDS),
        )
    except RedisUrlInvalid as error:
        raise SettingInvalid(f"TOLLGATE_REDIS_URL: {error}") from None
    limiter = RedisLimiter(
        nodes,
        stand_in=local,
        monotonic_ns=time.monotonic_ns,
        lease_seconds=lease_seconds,
        share=share,
        must_confirm=settings.replicas > 1,
    )
    await limiter.open()
    stack.push_async_callback(limiter.close)
    return limiter


async def _open_reconciler(
    settings: Settings,
    records: Records,
    stack: contextlib.AsyncExitStack,
    *,
    limiter: Limiter,
) -> Reconciler | None:
    """Let one worker of a server compare its accounts."""
    if not settings.reconcile_seconds:
        return None
    return await stack.enter_async_context(keep_reconciling(settings, records.engine, limiter))


def _share_of(settings: Settings, journal: Journal) -> Share:
    """Return what this process grants alone while Redis is away.

    Whoever holds a journal is the only one with its number, so the workers of one server are
    numbered by it; servers are not numbered.
    """
    number = int(journal.path.stem.rpartition("-")[2])
    is_numbered = settings.replicas == 1 and number < settings.workers
    return Share(settings.workers * settings.replicas, number if is_numbered else None)


async def _read_in(keyset: Keyset, limiter: Limiter, engine: AsyncEngine) -> None:
    """Read the keys, and what each tenant has used this month: a restart gives nothing back."""
    await keyset.refresh()
    period = period_of(wall_clock_us())
    for tenant_id, units in (await month_units(engine, period)).items():
        limiter.load_quota(tenant_id, period, units)
