"""Who holds a model version keeps it alive."""

import asyncio

from inference.holders import Holders


async def test_nobody_is_waited_for_where_nobody_holds() -> None:
    """An idle version is free at once."""
    await Holders().gone()


async def test_last_holder_ends_the_wait() -> None:
    """Not the first that leaves, and each who waits is told."""
    holders = Holders()
    holders.add()
    holders.add()
    waits = [asyncio.create_task(holders.gone()) for _ in range(2)]
    await asyncio.sleep(0)
    holders.remove()
    await asyncio.sleep(0)
    assert not any(wait.done() for wait in waits)
    holders.remove()
    await asyncio.gather(*waits)


async def test_newcomer_prolongs_the_wait() -> None:
    """One that comes in the moment between is waited for as well."""
    holders = Holders()
    holders.add()
    wait = asyncio.create_task(holders.gone())
    await asyncio.sleep(0)
    holders.remove()
    holders.add()
    await asyncio.sleep(0)
    assert not wait.done()
    holders.remove()
    await wait
