"""Work on the records and the repository together, beside a running server or without one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from gateway.errors import RepositoryMissing
from gateway.model_settings import open_vetter
from gateway.models.publisher import Publisher
from gateway.models.trial_store import TrialStore
from gateway.records import open_store
from gateway.settings import load_settings

Answer = TypeVar("Answer")

Force = Annotated[
    bool,
    typer.Option("--force", help="Also if it breaks what callers of the running version rely on."),
]


def ask_publisher(operation: Callable[[TrialStore, Publisher], Awaitable[Answer]]) -> Answer:
    """Run one operation on the records and the repository that the settings name.

    Raises:
        RepositoryMissing: there is no repository.
    """
    settings = load_settings()
    root = settings.model_repository
    if not root.is_dir():
        raise RepositoryMissing(root)

    async def ask() -> Answer:
        async with open_store(settings) as catalogue:
            store = catalogue.part(TrialStore)
            publisher = Publisher(
                store,
                open_vetter(settings),
                root=root,
                wait_seconds=settings.model_swap_seconds,
            )
            return await operation(store, publisher)

    return asyncio.run(ask())
