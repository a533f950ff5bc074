"""Servers on machines of their own: they share the database and Redis, and no data folder."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from auth.authenticator import Authenticator
from auth.generation import Generation
from auth.keyset import Keyset
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.store import Store
from gateway.database import create_engine
from gateway.dataplane.prediction import Answer, Call, PredictionPath, unknown_source
from gateway.dataplane.v1 import V1Codec
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.redis_revisions import SCRIPT, TIMES, WHEN_AWAY, RevisionBoard
from gateway.usage.journal import Journal
from inference.predictor import Predictor
from inference.registry import Registry
from inference.router import Router
from inference.routing import UNNAMED
from tests.redis_limiters import PATIENT_SECONDS, build_limiter
from tests.tokens import token_gate
from tests.unit.gateway.dataplane.test_prediction import (
    DEADLINE,
    FakeJournal,
    FakePredictor,
    FakeRegistry,
)

PEPPER = VersionedSecret({1: b"a pepper that all of the hosts have been given"})
SEALER = Sealer(VersionedSecret({1: b"a sealing key that all of the hosts have been given"}))
PREFIX = "hosts"
BODY = b'{"instances": [1, 2, 3]}'


@dataclass
class Host:
    """One server without HTTP: real keys, real limits, and a model that costs nothing."""

    engine: AsyncEngine
    store: Store
    keyset: Keyset
    limiter: RedisLimiter
    path: PredictionPath
    settled: list[float] = field(default_factory=list)
    """How long answers to changes waited for the other hosts, in seconds."""

    async def predict(self, credential: str) -> Answer:
        """Serve one prediction from its credential to its answer, as the HTTP door does."""
        principal = await self.path.authenticate(credential)
        revision = self.path.revision
        model = self.path.resolve(principal, "double", UNNAMED, request_id="id")
        codec: Any = V1Codec()
        call = Call(
            *("id", credential, unknown_source, principal, revision, model, codec, DEADLINE),
            lambda: None,
        )
        return await self.path.predict(call, BODY, bytes_in=len(BODY))


@contextlib.asynccontextmanager
async def running_host(
    folder: Path, *, database_url: str, redis_url: str, replicas: int = 2
) -> AsyncIterator[Host]:
    """Run a host for the length of a block, one of two unless told otherwise."""
    is_replicated = replicas > 1
    settled: list[float] = []

    async def sleep(seconds: float) -> None:
        settled.append(seconds)

    async with contextlib.AsyncExitStack() as stack:
        engine = create_engine(database_url)
        stack.push_async_callback(engine.dispose)
        generation = Generation(folder / "generation")
        stack.callback(generation.close)
        nodes = RedisNodes(redis_url, SCRIPT, prefix=PREFIX, when_away=WHEN_AWAY, times=TIMES)
        board = RevisionBoard(nodes, prefix=PREFIX, settle_seconds=2.0 * is_replicated, sleep=sleep)
        stack.push_async_callback(board.close)
        store = Store(
            engine,
            pepper=PEPPER,
            sealer=SEALER,
            generation=generation,
            now=lambda: datetime.now(UTC),
            announce=board.announce,
        )
        keyset = Keyset(engine, generation=generation)
        limiter = build_limiter(
            redis_url, prefix=PREFIX, budget_seconds=PATIENT_SECONDS, must_confirm=is_replicated
        )
        await limiter.open()
        stack.push_async_callback(limiter.close)
        path = PredictionPath(
            keyset=keyset,
            authenticator=Authenticator(
                keyset, pepper=PEPPER, tokens=token_gate(keyset, time.time), now=time.time
            ),
            router=Router(cast("Registry", FakeRegistry())),
            predictor=cast("Predictor", FakePredictor()),
            limiter=limiter,
            journal=cast("Journal", FakeJournal()),
            loop_time=lambda: 0.0,
            is_replicated=is_replicated,
        )
        yield Host(engine, store, keyset, limiter, path, settled)
