"""Let signing keys grow old, be replaced and be forgotten, beside the requests.

Every worker of every server does this; the store lets one of them have each change.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from auth.actor import system
from auth.signing_keys import Purpose
from auth.store import Store
from gateway.settings import Settings

INTERVAL_SECONDS = 60.0
CARETAKER = system("signing keys")
"""Who makes the keys that nobody asked for, in the audit log."""

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def keep_signing_keys(
    store: Store,
    purposes: Collection[Purpose],
    *,
    max_age: timedelta,
    interval_seconds: float = INTERVAL_SECONDS,
) -> AsyncIterator[None]:
    """Do what is due about the signing keys now and again, until the block ends."""
    task = asyncio.create_task(
        _keep(store, purposes, max_age=max_age, interval_seconds=interval_seconds)
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def purposes_of(settings: Settings) -> tuple[Purpose, ...]:
    """Say what a server signs."""
    return (Purpose.ACCESS, Purpose.RECEIPT) if settings.receipts else (Purpose.ACCESS,)


async def tend_signing_keys(
    store: Store, purposes: Collection[Purpose], *, max_age: timedelta
) -> None:
    """Do what is due about the keys of some purposes."""
    for purpose in purposes:
        await store.tend_signing_keys(actor=CARETAKER, max_age=max_age, purpose=purpose)


async def _keep(
    store: Store, purposes: Collection[Purpose], *, max_age: timedelta, interval_seconds: float
) -> None:
    """Go on after an outage of the database: a key that signs for longer does no harm."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await tend_signing_keys(store, purposes, max_age=max_age)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("the signing keys cannot be tended: %s", type(error).__name__)
