"""The token that makes the first admin of a fresh installation, once."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.actor import Actor
from auth.admin_tables import admins, bootstrap_token
from auth.admins import BootstrapToken
from auth.api_keys import mint
from auth.audit import Event
from auth.audit_log import append_events
from auth.catalogue import next_revision
from auth.changes import READ_ONLY
from auth.errors import CredentialInvalid, InvalidChange
from auth.tables import api_keys
from auth.tenants import PLATFORM_TENANT_ID

LIFETIME: Final = timedelta(hours=24)


async def issue_first_token(
    engine: AsyncEngine, *, actor: Actor, now: datetime
) -> BootstrapToken | None:
    """Make the token of an installation in which nobody has a credential; of several, one does.

    None where there is a key, an admin, or a token already: it is shown once. It needs neither the
    pepper nor the sealing key, which may not be where the database is made.
    """
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        if not await _is_fresh(connection):
            return None
    async with engine.begin() as connection:
        await next_revision(connection)
        return await _issue(connection, actor, now=now) if await _is_fresh(connection) else None


async def issue_new_token(engine: AsyncEngine, *, actor: Actor, now: datetime) -> BootstrapToken:
    """Make a token in the place of one that was lost, which is worthless from now on.

    Raises:
        InvalidChange: there is an admin, who can make others.
    """
    async with engine.begin() as connection:
        await next_revision(connection)
        if await connection.scalar(select(exists().select_from(admins))):
            raise InvalidChange("there is an admin already", "bootstrap")
        await connection.execute(delete(bootstrap_token))
        return await _issue(connection, actor, now=now)


async def check_bootstrap_token(connection: AsyncConnection, token: str, *, now: datetime) -> None:
    """Pass if a token would make the first admin now.

    Raises:
        CredentialInvalid: not the latest token, used up, expired, or there is an admin.
    """
    row = (await connection.execute(select(bootstrap_token))).first()
    stored = (row.digest if row is not None else None) or b""
    is_latest = hmac.compare_digest(stored, _digest(token))
    if row is None or not is_latest or row.expires_at <= now:
        raise CredentialInvalid("bootstrap token")
    if await connection.scalar(select(exists().select_from(admins))):
        raise CredentialInvalid("bootstrap token after the first admin")


async def use_up_bootstrap_token(connection: AsyncConnection, token: str, *, now: datetime) -> None:
    """Take the token within the transaction that makes the first admin.

    Threat: two requests with one token would make two admins, one of them the thief's. The caller
    holds the lock of the catalogue.

    Raises:
        CredentialInvalid: not the latest token, used up, expired, or there is an admin.
    """
    await check_bootstrap_token(connection, token, now=now)
    await connection.execute(update(bootstrap_token).values(digest=None))


async def _is_fresh(connection: AsyncConnection) -> bool:
    """Tell whether nobody can get in, and nobody was ever shown how."""
    found = [
        await connection.scalar(select(exists().select_from(table)))
        for table in (admins, api_keys, bootstrap_token)
    ]
    return not any(found)


async def _issue(connection: AsyncConnection, actor: Actor, *, now: datetime) -> BootstrapToken:
    issued = BootstrapToken(now + LIFETIME, mint(kind="boot").text)
    row = {"id": 1, "digest": _digest(issued.token), "expires_at": issued.expires_at}
    await connection.execute(insert(bootstrap_token).values(**row))
    after = {"expires_at": issued.expires_at}
    event = Event("bootstrap.issue", PLATFORM_TENANT_ID, "bootstrap", None, after)
    await append_events(connection, (event,), actor=actor, at=now)
    return issued


def _digest(token: str) -> bytes:
    """Return what is stored of a token: without the pepper, which 190 random bits do not need."""
    return hashlib.sha256(token.encode()).digest()
