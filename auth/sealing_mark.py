"""Tell a sealing key from the one that the stored secrets were sealed with.

A mark is an HMAC of a fixed text under one version of the sealing key. It is kept from the first
start with that version on.

Threat: with another sealing key nothing that is sealed opens again, and what is sealed meanwhile
makes it harder to go back.
"""

import hmac
from typing import Final

from sqlalchemy import Column, LargeBinary, SmallInteger, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.changes import READ_ONLY
from auth.errors import SealingKeyMismatch
from auth.secret_files import VersionedSecret
from auth.tables import catalog_revision, metadata

_TEXT: Final = b"tollgate: the sealing key"

sealing_marks: Final = Table(
    "sealing_marks",
    metadata,
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("mark", LargeBinary(32), nullable=False),
)


async def has_sealing_mark(engine: AsyncEngine) -> bool:
    """Tell whether a server has started with a sealing key, so that none may be made anew."""
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        return bool(await _read(connection))


async def keep_sealing_marks(engine: AsyncEngine, secret: VersionedSecret) -> None:
    """Pass if every version fits what was sealed, and write down the versions that are new.

    Raises:
        SealingKeyMismatch: a version is another secret than it was.
    """
    marks = {version: _mark_of(key) for version, key in secret.versions.items()}
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        if _new_of(marks, await _read(connection)) == []:
            return
    async with engine.begin() as connection:
        await connection.execute(select(catalog_revision.c.id).with_for_update())
        rows = _new_of(marks, await _read(connection))
        if rows:
            await connection.execute(insert(sealing_marks), rows)


def _new_of(marks: dict[int, bytes], kept: dict[int, bytes]) -> list[dict[str, object]]:
    for version, mark in marks.items():
        if not hmac.compare_digest(kept.get(version, mark), mark):
            raise SealingKeyMismatch(f"version {version} of the sealing key is another")
    if kept and marks.keys().isdisjoint(kept):
        raise SealingKeyMismatch("none of the versions was there before")
    return [{"version": version, "mark": marks[version]} for version in marks.keys() - kept.keys()]


async def _read(connection: AsyncConnection) -> dict[int, bytes]:
    rows = await connection.execute(select(sealing_marks.c.version, sealing_marks.c.mark))
    return {row.version: row.mark for row in rows}


def _mark_of(key: bytes) -> bytes:
    return hmac.digest(key, _TEXT, "sha256")
