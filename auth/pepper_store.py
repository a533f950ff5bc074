"""Move stored digests to the pepper in use, and tell how many are left under each version."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Table, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.actor import system
from auth.admin_tables import sessions
from auth.audit import Audited
from auth.catalogue import Catalogue
from auth.changes import READ_ONLY
from auth.client_tables import oauth_client_secrets, oauth_clients
from auth.clients import CLIENT_ID_PREFIX
from auth.credentials import SESSION_PREFIX
from auth.digests import Renewal
from auth.secret_marks import keep_mark
from auth.tables import api_key_secrets, api_keys


class _Place(NamedTuple):
    """Where the digests of one kind of credential are, and which row of it servers read anew."""

    prefix: str
    secrets: Table
    owners: Table
    owner_id: Column[str]
    secret_owner_id: Column[str]


_PLACES: Final = (
    _Place(SESSION_PREFIX, sessions, sessions, sessions.c.session_id, sessions.c.session_id),
    _Place(
        CLIENT_ID_PREFIX,
        oauth_client_secrets,
        oauth_clients,
        oauth_clients.c.client_id,
        oauth_client_secrets.c.client_id,
    ),
    _Place("", api_key_secrets, api_keys, api_keys.c.key_id, api_key_secrets.c.key_id),
)


class PepperStore(Catalogue):
    """Keep digests under the pepper in use."""

    async def renew_digests(self, renewals: Iterable[Renewal]) -> None:
        """Replace digests by those of the same secrets under the pepper in use.

        A secret that was dropped or rotated meanwhile stays as it is. No entry in the audit log:
        every secret opens what it opened before.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            await keep_mark(connection, "pepper", self._pepper)
            for renewal in renewals:
                await _renew(connection, renewal, revision)
            return Audited(None)

        await self._write(change, actor=system("pepper"))


async def count_live_digests(engine: AsyncEngine, *, now: datetime) -> dict[int, int]:
    """Count the secrets that still open something, by the version of their pepper."""
    counts: dict[int, int] = {}
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        for place in _PLACES:
            version = place.secrets.c.pepper_version
            query = select(version, func.count()).where(*_live(place, now)).group_by(version)
            for found, number in await connection.execute(query):
                counts[found] = counts.get(found, 0) + number
    return counts


def _live(place: _Place, now: datetime) -> list[ColumnElement[bool]]:
    conditions = [place.owners.c.revoked_at.is_(None), _lasts(place.owners, now)]
    if place.secrets is not place.owners:
        conditions += [place.secret_owner_id == place.owner_id, _lasts(place.secrets, now)]
    return conditions


def _lasts(table: Table, now: datetime) -> ColumnElement[bool]:
    return or_(table.c.expires_at.is_(None), table.c.expires_at > now)


async def _renew(connection: AsyncConnection, renewal: Renewal, revision: int) -> None:
    place = next(one for one in _PLACES if renewal.credential_id.startswith(one.prefix))
    is_it = (place.secret_owner_id == renewal.credential_id) & (
        place.secrets.c.digest == renewal.old
    )
    renewed = update(place.secrets).where(is_it).values(**renewal.new._asdict())
    if (await connection.execute(renewed)).rowcount:
        stamped = update(place.owners).where(place.owner_id == renewal.credential_id)
        await connection.execute(stamped.values(revision=revision))
