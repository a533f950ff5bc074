"""Work on the records directly, beside a running server or without one.

What a command changes is in force when it returns: the server compares the shared change counter on
every request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from auth.store import Store
from gateway.records import open_store
from gateway.settings import load_settings

MAX_PAGE_ITEMS = 500

Answer = TypeVar("Answer")
Item = TypeVar("Item")


def ask_store(operation: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Run one operation on the records that the settings name."""
    return asyncio.run(_ask(operation))


async def read_all(
    read_page: Callable[[str | None], Awaitable[list[Item]]], id_of: Callable[[Item], str]
) -> list[Item]:
    """Read a whole list page by page."""
    items: list[Item] = []
    page = await read_page(None)
    while page:
        items += page
        page = await read_page(id_of(page[-1])) if len(page) >= MAX_PAGE_ITEMS else []
    return items


async def _ask(operation: Callable[[Store], Awaitable[Answer]]) -> Answer:
    async with open_store(load_settings()) as store:
        return await operation(store)
