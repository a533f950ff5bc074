"""Keep what a server holds in memory in step with SQL, beside the requests."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError

from auth.admins import SessionTimes
from auth.authenticator import Authenticator
from auth.credentials import SESSION_PREFIX
from auth.errors import KeysetUnavailable, PepperMismatch
from auth.keyset import Keyset
from auth.store import Store

INTERVAL_SECONDS = 1.0
TIDY_SECONDS = 60.0

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def keep_fresh(
    keyset: Keyset,
    authenticator: Authenticator,
    store: Store,
    *,
    times: SessionTimes,
    interval_seconds: float = INTERVAL_SECONDS,
) -> AsyncIterator[None]:
    """Re-read the catalogue and write down what the use of keys changed, until the block ends.

    The re-read is a safety net: requests see changes by the generation, at once. It covers a
    writer that was killed between its commit and its signal, which answered nobody.
    """
    task = asyncio.create_task(
        _keep(keyset, authenticator, store, times=times, interval_seconds=interval_seconds)
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await _write_last_used(authenticator, store, times=times)


@contextlib.asynccontextmanager
async def keep_tidy(store: Store, *, interval_seconds: float = TIDY_SECONDS) -> AsyncIterator[None]:
    """Forget used assertions that have expired, now and again, until the block ends."""
    task = asyncio.create_task(_tidy(store, interval_seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _tidy(store: Store, interval_seconds: float) -> None:
    """Go on after an outage of the database: what is left lying is refused by its age."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await store.forget_assertions()
        except (SQLAlchemyError, OSError) as error:
            logger.warning("used assertions cannot be forgotten: %s", type(error).__name__)


async def _keep(
    keyset: Keyset,
    authenticator: Authenticator,
    store: Store,
    *,
    times: SessionTimes,
    interval_seconds: float,
) -> None:
    """Tell of an outage once, and of its end; times of use wait for it."""
    is_away = False
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await keyset.refresh()
        except KeysetUnavailable as error:
            if not is_away:
                logger.warning("the catalogue cannot be read: %s", error)
            is_away = True
            continue
        if is_away:
            logger.warning("the catalogue can be read again")
        is_away = False
        await _write_last_used(authenticator, store, times=times)
        await _renew_digests(authenticator, store)


async def _renew_digests(authenticator: Authenticator, store: Store) -> None:
    """Move secrets that were used to the pepper in use; what is lost is found at the next use."""
    renewals = authenticator.take_renewals()
    if not renewals:
        return
    try:
        await store.renew_digests(renewals)
    except (PepperMismatch, SQLAlchemyError, OSError) as error:
        logger.warning("digests cannot be renewed: %s", type(error).__name__)


async def _write_last_used(
    authenticator: Authenticator, store: Store, *, times: SessionTimes
) -> None:
    """Write the times down.

    Losing some costs a stale `last_used_at`, and a session its idle time.
    """
    last_used = authenticator.take_last_used()
    if not last_used:
        return
    try:
        await store.touch_last_used(last_used)
        await store.touch_clients(last_used)
        sessions = {name: at for name, at in last_used.items() if name.startswith(SESSION_PREFIX)}
        await store.prolong_sessions(sessions, times=times)
    except (SQLAlchemyError, OSError) as error:
        logger.warning("when keys were last used cannot be written: %s", type(error).__name__)
