"""End what proves a credential when something new takes its place: secrets and keys alike."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection


async def end_earlier(
    connection: AsyncConnection,
    table: Table,
    of_owner: ColumnElement[bool],
    *,
    now: datetime,
    ends_at: datetime,
) -> None:
    """Drop the owner's rows that have ended, and end the rest at `ends_at` or sooner."""
    expires_at = table.c.expires_at
    await connection.execute(delete(table).where(of_owner & (expires_at <= now)))
    is_later = or_(expires_at.is_(None), expires_at > ends_at)
    await connection.execute(update(table).where(of_owner & is_later).values(expires_at=ends_at))
