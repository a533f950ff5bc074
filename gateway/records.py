"""Open the records: the data folder, the database, and the pepper that its keys were made with.

All that the command line needs; the server opens the models and the bill beside them.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from auth.errors import (
    PepperMismatch,
    SealingKeyMismatch,
    SecretMalformed,
    SecretMissing,
    WeakSecret,
)
from auth.generation import Generation
from auth.pepper_store import count_live_digests
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret, load_secret
from auth.secret_marks import check_marks, has_marks, keep_marks
from auth.store import Store
from gateway.data_folder import prepare_data_dir
from gateway.database import check_schema, close_engine, open_engine
from gateway.errors import SettingInvalid, StartRefused
from gateway.limits.redis_address import RedisUrlInvalid
from gateway.limits.redis_limiter import PREFIX
from gateway.limits.redis_nodes import RedisNodes
from gateway.limits.redis_revisions import SCRIPT, TIMES, WHEN_AWAY, RevisionBoard
from gateway.settings import Settings

GATE_CONNECTIONS: Final = 2
"""Kept for the reload of keys and the delivery of usage.

Threat: one tenant that reads its bill over and over would use up the connections, and the keys of
all others could not be read after the next change.
"""

SETTLE_SECONDS: Final = 2.0
"""After which every server has read the catalogue anew: twice `background.INTERVAL_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Records:
    """The open records."""

    engine: AsyncEngine
    gate_engine: AsyncEngine
    """The same database by connections of its own, for what predictions may have to wait for."""
    store: Store
    generation: Generation
    pepper: VersionedSecret
    sealer: Sealer


@contextlib.asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[Records]:
    """Open the records until the block ends; the schema must be current.

    Raises:
        StartRefused: the data folder, the pepper or the sealing key is not usable.
        SchemaMismatch: the database is older or newer than this program.
    """
    async with contextlib.AsyncExitStack() as stack:
        prepare_data_dir(settings.data_dir)
        engine = open_engine(settings, pool_size=settings.database_pool_size - GATE_CONNECTIONS)
        patience = settings.database_timeout_seconds
        stack.push_async_callback(close_engine, engine, patience_seconds=patience)
        gate_engine = open_engine(settings, pool_size=GATE_CONNECTIONS)
        stack.push_async_callback(close_engine, gate_engine, patience_seconds=patience)
        await check_schema(engine)
        generation = Generation(settings.data_dir / "generation")
        stack.callback(generation.close)
        pepper = await _read_pepper(settings, engine)
        sealer = await _read_sealer(settings, engine)
        board = open_board(settings)
        stack.push_async_callback(board.close)
        store = Store(
            engine,
            pepper=pepper,
            sealer=sealer,
            generation=generation,
            now=lambda: datetime.now(UTC),
            announce=board.announce,
        )
        yield Records(engine, gate_engine, store, generation, pepper, sealer)


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the records and hand out the store alone."""
    async with open_records(settings) as records:
        yield records.store


def open_board(settings: Settings) -> RevisionBoard:
    """Return what tells the servers that share no data folder with us of a change.

    Raises:
        SettingInvalid: the URL of Redis is none.
    """
    nodes = None
    if settings.redis_url:
        try:
            nodes = RedisNodes(
                settings.redis_url.get_secret_value(),
                SCRIPT,
                prefix=PREFIX,
                when_away=WHEN_AWAY,
                times=TIMES,
            )
        except RedisUrlInvalid as error:
            raise SettingInvalid(f"TOLLGATE_REDIS_URL: {error}") from None
    settle_seconds = SETTLE_SECONDS if settings.replicas > 1 else 0.0
    return RevisionBoard(nodes, prefix=PREFIX, settle_seconds=settle_seconds)


async def _read_pepper(settings: Settings, engine: AsyncEngine) -> VersionedSecret:
    """Find the pepper that the keys in the database were made with.

    Raises:
        StartRefused: it is not there, can be guessed, or is another one.
    """
    path = settings.data_dir / "key_pepper"
    source = path if settings.key_pepper is None else "TOLLGATE_KEY_PEPPER"
    try:
        may_create = not await has_marks(engine, "pepper")
        pepper = load_secret(settings.key_pepper, path, may_create=may_create)
        await check_marks(engine, "pepper", pepper)
    except SecretMissing:
        raise StartRefused(
            f"there is no secret in {path}: the keys in the database need the pepper that they "
            "were made with; bring the file back or set TOLLGATE_KEY_PEPPER"
        ) from None
    except (SecretMalformed, WeakSecret) as error:
        raise StartRefused(f"{source}: {error.problem}") from None
    except PepperMismatch:
        raise StartRefused(
            f"{source} is not the pepper that the keys in the database were made with: set "
            f"TOLLGATE_KEY_PEPPER, or bring {path} back, as it was"
        ) from None
    await _check_retired(engine, pepper, source=source)
    return pepper


async def _check_retired(
    engine: AsyncEngine, pepper: VersionedSecret, *, source: Path | str
) -> None:
    """Pass if every secret that still opens something can be checked.

    Raises:
        StartRefused: a version of the pepper is gone that some need.
    """
    counts = await count_live_digests(engine, now=datetime.now(UTC))
    for version, number in sorted(counts.items()):
        if version not in pepper.versions:
            raise StartRefused(
                f"{source} has no version {version} of the pepper, which {number} secrets were "
                "made with: bring it back until `tollgate pepper status` counts none, or revoke "
                "their keys"
            )


async def _read_sealer(settings: Settings, engine: AsyncEngine) -> Sealer:
    """Find the key that the secrets in the database were sealed with.

    Raises:
        StartRefused: it is not there, can be guessed, or is another one.
    """
    path = settings.data_dir / "sealing_key"
    source = path if settings.sealing_key is None else "TOLLGATE_SEALING_KEY"
    remedy = f"set TOLLGATE_SEALING_KEY, or bring {path} back, as it was"
    try:
        may_create = not await has_marks(engine, "sealing")
        secret = load_secret(settings.sealing_key, path, may_create=may_create)
        await keep_marks(engine, "sealing", secret)
    except SecretMissing:
        raise StartRefused(
            f"there is no secret in {path}: the records need the sealing key that they were made "
            f"with; {remedy}"
        ) from None
    except (SecretMalformed, WeakSecret) as error:
        raise StartRefused(f"{source}: {error.problem}") from None
    except SealingKeyMismatch:
        raise StartRefused(
            f"{source} is not the sealing key that the records were made with: {remedy}"
        ) from None
    return Sealer(secret)
