"""Make, read and change admins."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.admin_rows import admin_from
from auth.admin_tables import admins, sessions
from auth.admins import Admin, Proof, check_admin_scopes, check_username, is_username
from auth.api_keys import random_base62
from auth.audit import Audited, Event, facts_of
from auth.bootstrap import check_bootstrap_token, use_up_bootstrap_token
from auth.catalogue import Catalogue
from auth.errors import AdminNotFound, InvalidChange
from auth.rows import AnyRow
from auth.rules import check_page, is_id
from auth.tenants import PLATFORM_TENANT_ID
from auth.totp import matching_step

ID_CHARACTERS: Final = 16

Values = dict[str, Any]


class AdminStore(Catalogue):
    """Keep admins.

    A change that takes something from an admin is in force for its sessions before it returns.
    """

    async def create_admin(
        self,
        *,
        actor: Actor,
        username: str,
        password_hash: str,
        scopes: Iterable[str],
        bootstrap: str | None = None,
    ) -> Admin:
        """Take on an admin; with `bootstrap`, the first one, which uses the token up.

        Threat: two requests with one token would make two admins, one of them the thief's; the
        token is read and used up under the lock of the catalogue.

        Raises:
            CredentialInvalid: the bootstrap token is not the latest, used up or expired.
            InvalidChange: a value is not taken, or the username is.
        """
        now = self._now()
        values: Values = {
            "admin_id": "adm_" + random_base62(ID_CHARACTERS),
            "username": check_username(username),
            "password_hash": password_hash,
            "scopes": check_admin_scopes(scopes),
            "created_at": now,
            "password_changed_at": now,
        }

        async def change(connection: AsyncConnection, revision: int) -> Audited[Admin]:
            if bootstrap is not None:
                await use_up_bootstrap_token(connection, bootstrap, now=now)
            same = select(exists().where(admins.c.username == values["username"]))
            if await connection.scalar(same):
                raise InvalidChange("is taken", "username")
            await connection.execute(insert(admins).values(**values, revision=revision))
            made = admin_from(await admin_row_in(connection, values["admin_id"]))
            return Audited(made, _event("admin.create", None, made))

        return await self._write(change, actor=actor, tenant_id=PLATFORM_TENANT_ID)

    async def check_bootstrap(self, token: str) -> None:
        """Pass if the token would make the first admin now.

        Raises:
            CredentialInvalid: it would not.
        """
        now = self._now()
        await self._read(lambda connection: check_bootstrap_token(connection, token, now=now))

    async def get_admin(self, admin_id: str) -> Admin:
        """Return an admin.

        Raises:
            AdminNotFound: there is none of this id.
        """
        return admin_from(await self._read(lambda connection: admin_row_in(connection, admin_id)))

    async def find_admin(self, username: str) -> Admin:
        """Return the admin of a username.

        Raises:
            AdminNotFound: there is none.
        """
        proof = await self.find_proof(username)
        if proof is None:
            raise AdminNotFound("there is no such admin")
        return proof.admin

    async def list_admins(self, *, after: str | None, limit: int) -> list[Admin]:
        """Return a page of admins in the order of their ids, disabled ones too.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
        """
        check_page(after, limit)
        query = select(admins).order_by(admins.c.admin_id).limit(limit)
        if after is not None:
            query = query.where(admins.c.admin_id > after)

        async def operation(connection: AsyncConnection) -> list[Admin]:
            return [admin_from(row) for row in await connection.execute(query)]

        return await self._read(operation)

    async def find_proof(self, username: str) -> Proof | None:
        """Return what a log-in with this username is compared with; None: nobody has it."""
        if not is_username(username):
            return None
        query = select(admins).where(admins.c.username == username.lower())

        async def operation(connection: AsyncConnection) -> AnyRow | None:
            return (await connection.execute(query)).first()

        row = await self._read(operation)
        return None if row is None else self._proof_from(row)

    async def get_proof(self, admin_id: str) -> Proof:
        """Return what an admin's password is compared with.

        Raises:
            AdminNotFound: there is none of this id.
        """
        return self._proof_from(
            await self._read(lambda connection: admin_row_in(connection, admin_id))
        )

    async def update_admin(
        self,
        admin_id: str,
        *,
        actor: Actor,
        scopes: Iterable[str] | None = None,
        is_disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> Admin:
        """Change what is given and leave the rest; every session follows at once.

        A disabled admin's sessions end, and those of one whose password changed.

        Raises:
            AdminNotFound: there is none of this id.
            InvalidChange: a value is not taken.
        """
        now = self._now()
        values: Values = {}
        if scopes is not None:
            values["scopes"] = check_admin_scopes(scopes)
        if is_disabled is not None:
            values["disabled_at"] = now if is_disabled else None
        if password_hash is not None:
            values |= {"password_hash": password_hash, "password_changed_at": now}

        async def change(connection: AsyncConnection, revision: int) -> Audited[Admin]:
            before = admin_from(await admin_row_in(connection, admin_id))
            if before.disabled_at is not None and is_disabled:
                values["disabled_at"] = before.disabled_at
            after = await _set(connection, admin_id, values | {"revision": revision})
            if is_disabled or password_hash is not None:
                await end_sessions(connection, admin_id, at=now)
            followed = update(sessions).where(sessions.c.admin_id == admin_id)
            await connection.execute(followed.values(revision=revision))
            return Audited(after, _event("admin.update", before, after))

        return await self._write(change, actor=actor, tenant_id=PLATFORM_TENANT_ID)

    async def enrol_totp(self, admin_id: str, secret: bytes, *, actor: Actor) -> Admin:
        """Keep the secret of a new authenticator, which counts once it has shown a code.

        Raises:
            AdminNotFound: there is none of this id.
        """
        pending = self._sealer.seal(secret, _totp_context(admin_id))
        return await self._change_totp(
            admin_id, "admin.enrol_totp", lambda _row: {"totp_pending_sealed": pending}, actor=actor
        )

    async def confirm_totp(self, admin_id: str, code: str, *, actor: Actor) -> Admin:
        """Put the authenticator that was enrolled last to use, as it has just shown a code.

        Raises:
            AdminNotFound: there is none of this id.
            InvalidChange: there is no new authenticator, or the code is not its own.
        """
        now = self._now().timestamp()

        def confirmed(row: AnyRow) -> Values:
            if row.totp_pending_sealed is None:
                raise InvalidChange("no authenticator waits for its first code", "totp")
            secret = self._sealer.open(row.totp_pending_sealed, _totp_context(admin_id))
            step = matching_step(secret, code, now=now)
            if step is None:
                raise InvalidChange("is not the authenticator's code", "totp")
            used = {"totp_sealed": row.totp_pending_sealed, "totp_last_step": step}
            return used | {"totp_pending_sealed": None}

        return await self._change_totp(admin_id, "admin.confirm_totp", confirmed, actor=actor)

    async def remove_totp(self, admin_id: str, *, actor: Actor) -> Admin:
        """Forget an admin's authenticator; the password is enough from now on.

        Raises:
            AdminNotFound: there is none of this id.
        """
        nothing = {"totp_sealed": None, "totp_pending_sealed": None}
        return await self._change_totp(
            admin_id, "admin.remove_totp", lambda _row: nothing, actor=actor
        )

    async def _change_totp(
        self, admin_id: str, action: str, values_of: Callable[[AnyRow], Values], *, actor: Actor
    ) -> Admin:
        async def change(connection: AsyncConnection, revision: int) -> Audited[Admin]:
            row = await admin_row_in(connection, admin_id)
            after = await _set(connection, admin_id, values_of(row) | {"revision": revision})
            return Audited(after, _event(action, admin_from(row), after))

        return await self._write(change, actor=actor, tenant_id=PLATFORM_TENANT_ID)

    async def note_refused_log_in(self, admin_id: str, *, actor: Actor) -> None:
        """Write down that somebody failed to log in as an admin."""

        async def change(_connection: AsyncConnection, _revision: int) -> Audited[None]:
            refused = Event("session.refuse", PLATFORM_TENANT_ID, admin_id, None, None)
            return Audited(None, refused)

        await self._write(change, actor=actor)

    def _proof_from(self, row: AnyRow) -> Proof:
        sealed = row.totp_sealed
        context = _totp_context(row.admin_id)
        return Proof(
            admin=admin_from(row),
            password_hash=row.password_hash,
            totp_secret=None if sealed is None else self._sealer.open(sealed, context),
            totp_last_step=row.totp_last_step,
        )


async def admin_row_in(connection: AsyncConnection, admin_id: str) -> AnyRow:
    """Return an admin's row within a transaction.

    Raises:
        AdminNotFound: there is none of this id.
    """
    row = None
    if is_id(admin_id):
        query = select(admins).where(admins.c.admin_id == admin_id)
        row = (await connection.execute(query)).first()
    if row is None:
        raise AdminNotFound("there is no such admin")
    return row


async def end_sessions(connection: AsyncConnection, admin_id: str, *, at: datetime) -> None:
    """Revoke every session of an admin that is not revoked yet."""
    alive = (sessions.c.admin_id == admin_id) & sessions.c.revoked_at.is_(None)
    await connection.execute(update(sessions).where(alive).values(revoked_at=at))


async def _set(connection: AsyncConnection, admin_id: str, values: Values) -> Admin:
    """Change an admin's row and read it back."""
    await connection.execute(update(admins).where(admins.c.admin_id == admin_id).values(**values))
    return admin_from(await admin_row_in(connection, admin_id))


def _event(action: str, before: Admin | None, after: Admin) -> Event:
    return Event(
        action=action,
        tenant_id=PLATFORM_TENANT_ID,
        target=after.admin_id,
        before=None if before is None else facts_of(before),
        after=facts_of(after),
    )


def _totp_context(admin_id: str) -> str:
    return f"totp:{admin_id}"
