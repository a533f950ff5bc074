"""Tell a pepper from the one that the stored keys were made with.

The mark is an HMAC of a fixed text under the pepper. It is kept beside the keys from the first one
on, in the transaction that stores the key.

Threat: under another pepper every key is refused, and each new key makes it harder to go back.
"""

import hmac
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.changes import READ_ONLY
from auth.errors import PepperMismatch
from auth.tables import catalog_revision

_TEXT: Final = b"tollgate: the pepper of API keys"


async def check_pepper(engine: AsyncEngine, pepper: bytes) -> None:
    """Pass if no key was made yet, or the keys were made with this pepper.

    Raises:
        PepperMismatch: they were made with another.
    """
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        await _compare(connection, _mark_of(pepper))


async def keep_mark(connection: AsyncConnection, pepper: bytes) -> None:
    """Write the mark down if there is none; call it in the transaction that stores a digest.

    Raises:
        PepperMismatch: another process has made keys with another pepper meanwhile.
    """
    mark = _mark_of(pepper)
    first = update(catalog_revision).where(catalog_revision.c.pepper_mark.is_(None))
    await connection.execute(first.values(pepper_mark=mark))
    await _compare(connection, mark)


async def _compare(connection: AsyncConnection, mark: bytes) -> None:
    kept = await connection.scalar(select(catalog_revision.c.pepper_mark))
    if kept is not None and not hmac.compare_digest(kept, mark):
        raise PepperMismatch("the keys in the database were made with another pepper")


def _mark_of(pepper: bytes) -> bytes:
    return hmac.digest(pepper, _TEXT, "sha256")
