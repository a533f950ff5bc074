"""Open, list, prolong and end the sessions of admins."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor, system
from auth.admin_rows import session_from
from auth.admin_store import admin_row_in
from auth.admin_tables import admins, sessions
from auth.admins import IssuedSession, Proof, Session, SessionTimes
from auth.api_keys import mint
from auth.audit import Audited, Event, facts_of
from auth.catalogue import Catalogue
from auth.credentials import SESSION_PREFIX
from auth.errors import CredentialInvalid, SessionNotFound
from auth.rules import check_page, is_id
from auth.tenants import PLATFORM_TENANT_ID

_KEPT: Final = timedelta(days=30)
"""How long a session that has ended is still listed."""


class SessionStore(Catalogue):
    """Keep the sessions of admins. What is stored of a token is its digest."""

    async def open_session(
        self,
        proof: Proof,
        *,
        actor: Actor,
        times: SessionTimes,
        totp_step: int | None = None,
        rehashed: str | None = None,
    ) -> IssuedSession:
        """Open a session for an admin who has just proved to be it.

        Threat: while a password was being verified it may have been changed, or the admin been
        disabled; and a one-time code may have opened another session. All of it is looked at again
        under the lock of the catalogue.

        Args:
            actor: who logs in, of whom no more is known than the request.
            proof: what the log-in was compared with.
            times: how long the session lasts.
            totp_step: the step of the one-time code that was shown.
            rehashed: the same password, hashed with today's parameters.

        Raises:
            CredentialInvalid: the proof holds no more, or the code was used before.
        """
        now = self._now()
        minted = mint(kind="sess")
        session = _new_session(minted.key_id, proof.admin.admin_id, times=times, now=now)

        async def change(connection: AsyncConnection, revision: int) -> Audited[IssuedSession]:
            await _check_again(connection, proof, totp_step=totp_step)
            await _forget_old(connection, session.admin_id, before=now - _KEPT)
            noted = update(admins).where(admins.c.admin_id == session.admin_id)
            await connection.execute(
                noted.values(
                    last_log_in_at=now,
                    totp_last_step=proof.totp_last_step if totp_step is None else totp_step,
                    password_hash=rehashed or proof.password_hash,
                )
            )
            stored = (await self._digest(connection, minted.text))._asdict()
            await connection.execute(
                insert(sessions).values(**_columns(session), **stored, revision=revision)
            )
            opened = _event("session.open", None, session)
            return Audited(IssuedSession(session, minted.text), opened)

        return await self._write(change, actor=actor, tenant_id=PLATFORM_TENANT_ID)

    async def get_session(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            SessionNotFound: there is none of this id.
        """
        return await self._read(lambda connection: session_in(connection, session_id))

    async def list_sessions(
        self, *, admin_id: str | None, after: str | None, limit: int
    ) -> list[Session]:
        """Return a page of one admin's sessions, or of all, those that ended lately included.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
        """
        check_page(after, limit)
        query = select(sessions).order_by(sessions.c.session_id).limit(limit)
        if admin_id is not None:
            query = query.where(sessions.c.admin_id == admin_id)
        if after is not None:
            query = query.where(sessions.c.session_id > after)

        async def operation(connection: AsyncConnection) -> list[Session]:
            return [session_from(row) for row in await connection.execute(query)]

        return await self._read(operation)

    async def revoke_session(self, session_id: str, *, actor: Actor) -> None:
        """End a session before this returns; once more changes nothing.

        Raises:
            SessionNotFound: there is none of this id.
        """
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            session = await session_in(connection, session_id)
            if session.revoked_at is not None:
                return Audited(None)
            ended = update(sessions).where(sessions.c.session_id == session_id)
            await connection.execute(ended.values(revoked_at=now, revision=revision))
            return Audited(
                None, _event("session.revoke", session, replace(session, revoked_at=now))
            )

        await self._write(change, actor=actor, tenant_id=PLATFORM_TENANT_ID)

    async def prolong_sessions(
        self, last_used: Mapping[str, datetime], *, times: SessionTimes
    ) -> None:
        """Postpone the idle end of sessions that are in use.

        Unlike the last use of a key this decides who gets in, so it is a change that every server
        reads. A use that was recorded a moment ago is no reason for one.
        """
        due = await self._due(last_used, every=times.recorded_every)
        if not due:
            return

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            for session_id in sorted(due):
                at = last_used[session_id]
                alive = (sessions.c.revoked_at.is_(None)) & (sessions.c.idle_ends_at > at)
                later = update(sessions).where(sessions.c.session_id == session_id).where(alive)
                values = {"last_used_at": at, "idle_ends_at": at + times.idle}
                await connection.execute(later.values(**values, revision=revision))
            return Audited(None)

        await self._write(change, actor=system("sessions"), tenant_id=PLATFORM_TENANT_ID)

    async def _due(self, last_used: Mapping[str, datetime], *, every: timedelta) -> Collection[str]:
        """Name the sessions whose recorded use is too old."""
        if not last_used:
            return ()
        query = select(sessions.c.session_id, sessions.c.last_used_at).where(
            sessions.c.session_id.in_(last_used)
        )

        async def operation(connection: AsyncConnection) -> list[str]:
            return [
                row.session_id
                for row in await connection.execute(query)
                if last_used[row.session_id] - row.last_used_at >= every
            ]

        return await self._read(operation)


def _new_session(key_id: str, admin_id: str, *, times: SessionTimes, now: datetime) -> Session:
    return Session(
        session_id=SESSION_PREFIX + key_id,
        admin_id=admin_id,
        created_at=now,
        expires_at=now + times.lifetime,
        idle_ends_at=now + times.idle,
        last_used_at=now,
        revoked_at=None,
    )


async def session_in(connection: AsyncConnection, session_id: str) -> Session:
    """Return a session within a transaction.

    Raises:
        SessionNotFound: there is none of this id.
    """
    row = None
    if is_id(session_id):
        query = select(sessions).where(sessions.c.session_id == session_id)
        row = (await connection.execute(query)).first()
    if row is None:
        raise SessionNotFound("there is no such session")
    return session_from(row)


def _event(action: str, before: Session | None, after: Session) -> Event:
    return Event(
        action=action,
        tenant_id=PLATFORM_TENANT_ID,
        target=after.session_id,
        before=None if before is None else facts_of(before),
        after=facts_of(after),
    )


async def _check_again(connection: AsyncConnection, proof: Proof, *, totp_step: int | None) -> None:
    row = await admin_row_in(connection, proof.admin.admin_id)
    if row.disabled_at is not None or row.password_hash != proof.password_hash:
        raise CredentialInvalid("changed while it was verified")
    if row.totp_sealed is not None and (totp_step is None or totp_step <= row.totp_last_step):
        raise CredentialInvalid("the one-time code was used before")


async def _forget_old(connection: AsyncConnection, admin_id: str, *, before: datetime) -> None:
    """Drop sessions that ended long ago, whichever way."""
    old = (sessions.c.admin_id == admin_id) & (sessions.c.expires_at < before)
    await connection.execute(delete(sessions).where(old))


def _columns(session: Session) -> dict[str, object]:
    return {
        "session_id": session.session_id,
        "admin_id": session.admin_id,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "idle_ends_at": session.idle_ends_at,
        "last_used_at": session.last_used_at,
        "revoked_at": session.revoked_at,
    }
