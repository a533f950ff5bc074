"""Keep sending usage to every destination beside the requests."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.delivery.deliverer import Deliverer, name_holder
from gateway.delivery.destinations import read_destinations
from gateway.settings import Settings
from gateway.usage.errors import UsageError

INTERVAL_SECONDS: Final = 1.0
FAILED_PAUSE_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


def open_deliverers(settings: Settings, engine: AsyncEngine) -> tuple[Deliverer, ...]:
    """Return a sender for each destination that the settings name.

    Raises:
        SettingInvalid: the file of destinations is not what it should be.
    """
    if settings.deliveries is None:
        return ()
    holder = name_holder(f"{socket.gethostname()}-{os.getpid()}")
    destinations = read_destinations(settings.deliveries)
    return tuple(
        Deliverer(engine, name, destination, holder=holder)
        for name, destination in destinations.items()
    )


@contextlib.asynccontextmanager
async def keep_delivering(deliverers: Sequence[Deliverer]) -> AsyncIterator[None]:
    """Send until the block ends; of several workers one sends to a destination at a time.

    What is cut off at the end is sent again by whoever goes on: nothing waits for it.
    """
    tasks = [asyncio.create_task(_keep(deliverer)) for deliverer in deliverers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for deliverer in deliverers:
            with contextlib.suppress(UsageError):
                await deliverer.let_go()


async def _keep(deliverer: Deliverer) -> None:
    """Go on after an outage of the database; one of the receiver is the sender's own affair."""
    while True:
        pause = INTERVAL_SECONDS
        try:
            await deliverer.deliver()
        except UsageError as error:
            logger.warning("usage is not sent to %s: %s", deliverer.name, error)
            pause = FAILED_PAUSE_SECONDS
        await asyncio.sleep(pause)
