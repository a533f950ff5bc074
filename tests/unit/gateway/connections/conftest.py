"""Run each test here on both event loops."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loop of the product, and the one that documents what a loop does."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
