"""Tell a secret of the server from the one that the stored records were made with.

A mark is an HMAC of a fixed text under one version of a secret. It is kept from the first thing on
that is made with that version, in the same transaction.

Threat: under another pepper every key is refused, with another sealing key nothing that is sealed
opens, and whatever is made meanwhile makes it harder to go back.
"""

import hmac
from typing import Final, Literal

from sqlalchemy import Column, LargeBinary, SmallInteger, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.changes import READ_ONLY
from auth.errors import PepperMismatch, SealingKeyMismatch
from auth.secret_files import VersionedSecret
from auth.tables import catalog_revision, metadata

Purpose = Literal["pepper", "sealing"]

secret_marks: Final = Table(
    "secret_marks",
    metadata,
    Column("purpose", String(16), primary_key=True),
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("mark", LargeBinary(32), nullable=False),
)

_TEXTS: Final = {
    "pepper": b"tollgate: the pepper of API keys",
    "sealing": b"tollgate: the sealing key",
}
_MISMATCHES: Final = {"pepper": PepperMismatch, "sealing": SealingKeyMismatch}


async def has_marks(engine: AsyncEngine, purpose: Purpose) -> bool:
    """Tell whether something was made with this secret, so that it may not be made anew."""
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        return bool(await _read(connection, purpose))


async def check_marks(engine: AsyncEngine, purpose: Purpose, secret: VersionedSecret) -> None:
    """Pass if every version that is here is the one that made something under its number.

    Which versions of a pepper may be gone is told by the secrets that need them.

    Raises:
        PepperMismatch, SealingKeyMismatch: one is another, or all of a sealing key's are new.
    """
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        _compare(purpose, secret, await _read(connection, purpose))


async def keep_mark(connection: AsyncConnection, purpose: Purpose, secret: VersionedSecret) -> None:
    """Write down the mark of the version in use; call it in the transaction that works with it.

    The transaction holds the lock of the catalogue, so no other writes at the same time.

    Raises:
        PepperMismatch, SealingKeyMismatch: another process works with another secret meanwhile.
    """
    kept = await _read(connection, purpose)
    _compare(purpose, secret, kept)
    if secret.current not in kept:
        mark = _mark_of(purpose, secret.versions[secret.current])
        row = {"purpose": purpose, "version": secret.current, "mark": mark}
        await connection.execute(insert(secret_marks).values(**row))


async def keep_marks(engine: AsyncEngine, purpose: Purpose, secret: VersionedSecret) -> None:
    """Check the versions that are here, and write down the one in use if it is new.

    Raises:
        PepperMismatch, SealingKeyMismatch: one is another than it was.
    """
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        kept = await _read(connection, purpose)
    _compare(purpose, secret, kept)
    if secret.current not in kept:
        async with engine.begin() as connection:
            await connection.execute(select(catalog_revision.c.id).with_for_update())
            await keep_mark(connection, purpose, secret)


def _compare(purpose: Purpose, secret: VersionedSecret, kept: dict[int, bytes]) -> None:
    for version, value in secret.versions.items():
        mark = _mark_of(purpose, value)
        if not hmac.compare_digest(kept.get(version, mark), mark):
            raise _MISMATCHES[purpose](f"version {version} is another")
    if purpose == "sealing" and kept and secret.versions.keys().isdisjoint(kept):
        raise _MISMATCHES[purpose]("none of the versions was there before")


async def _read(connection: AsyncConnection, purpose: Purpose) -> dict[int, bytes]:
    query = select(secret_marks).where(secret_marks.c.purpose == purpose)
    return {row.version: row.mark for row in await connection.execute(query)}


def _mark_of(purpose: Purpose, value: bytes) -> bytes:
    return hmac.digest(value, _TEXTS[purpose], "sha256")
