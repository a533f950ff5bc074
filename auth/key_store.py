"""Issue, list, rotate and revoke API keys."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.api_keys import KEY_ID_CHARACTERS, ParsedKey, mint
from auth.audit import Audited, Event, facts_of
from auth.bindings import UNBOUND, Bindings
from auth.catalogue import Catalogue
from auth.errors import CredentialEnded, KeyNotFound
from auth.overlaps import end_earlier
from auth.rows import API_KEY_COLUMNS, api_key_from
from auth.rules import (
    check_expiry,
    check_name,
    check_overlap,
    check_override,
    check_page,
    check_rate,
    check_scopes,
    is_id,
)
from auth.tables import api_key_secrets, api_keys, tenants
from auth.tenant_store import plan_in, tenant_in
from auth.tenants import ApiKey, IssuedKey


class KeyStore(Catalogue):
    """Keep API keys.

    Threat: another tenant's key must look like one that never was, so every look-up names the
    tenant and the key in one condition.
    """

    async def create_key(
        self,
        tenant_id: str,
        *,
        actor: Actor,
        name: str,
        scopes: Iterable[str],
        expires_at: datetime | None = None,
        is_test: bool = False,
        requests_per_second: float | None = None,
        burst: int | None = None,
        may_exceed_plan: bool = False,
        bindings: Bindings = UNBOUND,
    ) -> IssuedKey:
        """Issue a key; its secret is in the answer and nowhere else.

        With `may_exceed_plan`, which is the platform's to say, the key's own limits hold whatever
        the plan says; else they can only tighten it.

        Raises:
            InvalidChange: a value is not taken, or a limit is above the plan's and may not be.
            TenantNotFound: there is no such tenant.
        """
        now = self._now()
        minted = mint(kind="test" if is_test else "live")
        key = ApiKey(
            key_id=minted.key_id,
            tenant_id=tenant_id,
            name=check_name(name),
            scopes=tuple(check_scopes(scopes, tenant_id=tenant_id)),
            is_test=is_test,
            created_at=now,
            expires_at=check_expiry(expires_at, now=now),
            revoked_at=None,
            last_used_at=None,
            requests_per_second=requests_per_second,
            burst=check_rate(requests_per_second, burst),
            may_exceed_plan=may_exceed_plan,
            **asdict(bindings.checked()),
        )

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            await _check_limits(connection, key, burst=burst)
            await connection.execute(insert(api_keys).values(**asdict(key), revision=revision))
            await self._add_secret(connection, minted)
            return Audited(None, _event("key.create", None, key))

        await self._write(change, actor=actor, tenant_id=tenant_id)
        return IssuedKey(key, minted.text)

    async def get_key(self, tenant_id: str, key_id: str) -> ApiKey:
        """Return a key of the tenant.

        Raises:
            KeyNotFound: there is none of this id, or it is another tenant's.
        """
        return await self._read(lambda connection: _key_in(connection, tenant_id, key_id))

    async def list_keys(self, tenant_id: str, *, after: str | None, limit: int) -> list[ApiKey]:
        """Return a page of the tenant's keys in the order of their ids, revoked ones too.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
            TenantNotFound: there is no such tenant.
        """
        check_page(after, limit)
        query = select(api_keys).where(api_keys.c.tenant_id == tenant_id)
        if after is not None:
            query = query.where(api_keys.c.key_id > after)

        async def operation(connection: AsyncConnection) -> list[ApiKey]:
            await tenant_in(connection, tenant_id)
            rows = await connection.execute(query.order_by(api_keys.c.key_id).limit(limit))
            return [api_key_from(row) for row in rows]

        return await self._read(operation)

    async def revoke_key(self, tenant_id: str, key_id: str, *, actor: Actor) -> None:
        """Stop a key for good, before this returns; once more changes nothing.

        Raises:
            KeyNotFound: there is none of this id, or it is another tenant's.
        """
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            key = await _key_in(connection, tenant_id, key_id)
            if key.revoked_at is not None:
                return Audited(None)
            stopped = update(api_keys).where(api_keys.c.key_id == key_id)
            await connection.execute(stopped.values(revoked_at=now, revision=revision))
            return Audited(None, _event("key.revoke", key, replace(key, revoked_at=now)))

        await self._write(change, actor=actor, tenant_id=tenant_id)

    async def rotate_key(
        self, tenant_id: str, key_id: str, *, actor: Actor, overlap_seconds: int
    ) -> IssuedKey:
        """Give a key a new secret; the earlier ones go on for the overlap at most.

        A secret that already had an end keeps it if it is sooner.

        Raises:
            CredentialEnded: the key is revoked or expired.
            InvalidChange: the overlap is out of range.
            KeyNotFound: there is none of this id, or it is another tenant's.
        """
        check_overlap(overlap_seconds)
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[IssuedKey]:
            key = await _key_in(connection, tenant_id, key_id)
            _check_alive(key, now=now)
            minted = mint(kind="test" if key.is_test else "live", key_id=key_id)
            stamped = update(api_keys).where(api_keys.c.key_id == key_id)
            await connection.execute(stamped.values(revision=revision))
            ends_at = now + timedelta(seconds=overlap_seconds)
            of_key = api_key_secrets.c.key_id == key_id
            await end_earlier(connection, api_key_secrets, of_key, now=now, ends_at=ends_at)
            await self._add_secret(connection, minted)
            rotated = Event(
                action="key.rotate",
                tenant_id=tenant_id,
                target=key_id,
                before=None,
                after={"earlier_secrets_end_at": ends_at},
            )
            return Audited(IssuedKey(key, minted.text), rotated)

        return await self._write(change, actor=actor, tenant_id=tenant_id)

    async def touch_last_used(self, last_used: dict[str, datetime]) -> None:
        """Note when keys were last used; a time never goes back.

        No change of the catalogue: no revision, no bump, or every request would cost a reload.
        Sorted, so that two workers lock rows in the same order. Other credentials have longer ids.
        """
        rows = [
            {"used_key_id": key_id, "at": at}
            for key_id, at in sorted(last_used.items())
            if len(key_id) == KEY_ID_CHARACTERS
        ]
        if not rows:
            return
        touched = (
            update(api_keys)
            .where(api_keys.c.key_id == bindparam("used_key_id"))
            .where(
                or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("at"))
            )
            .values(last_used_at=bindparam("at"))
        )
        async with self._engine.begin() as connection:
            await connection.execute(touched, rows)

    async def _add_secret(self, connection: AsyncConnection, minted: ParsedKey) -> None:
        """Store what is kept of a secret: its digest.

        Raises:
            PepperMismatch: the keys that are there were made with another pepper.
        """
        stored = await self._digest(connection, minted.text)
        row = {"key_id": minted.key_id, **stored._asdict()}
        await connection.execute(insert(api_key_secrets).values(**row))


def _event(action: str, before: ApiKey | None, after: ApiKey) -> Event:
    return Event(
        action=action,
        tenant_id=after.tenant_id,
        target=after.key_id,
        before=None if before is None else facts_of(before),
        after=facts_of(after),
    )


async def _check_limits(connection: AsyncConnection, key: ApiKey, *, burst: int | None) -> None:
    """Pass if the limits wished for keep within the plan, or need not; `burst` is as it was asked.

    Raises:
        InvalidChange: one is above the plan's.
        TenantNotFound: there is no such tenant.
    """
    tenant = await tenant_in(connection, key.tenant_id)
    if tenant.plan_id is None or key.may_exceed_plan:
        return
    plan = await plan_in(connection, tenant.plan_id)
    check_override(key.requests_per_second, plan.requests_per_second, field="requests_per_second")
    check_override(burst, plan.burst, field="burst")


async def _key_in(connection: AsyncConnection, tenant_id: str, key_id: str) -> ApiKey:
    row = None
    if is_id(tenant_id) and is_id(key_id):
        both = (api_keys.c.key_id == key_id) & (api_keys.c.tenant_id == tenant_id)
        living = both & (tenants.c.status != "deleted")
        query = select(*API_KEY_COLUMNS).join_from(api_keys, tenants).where(living)
        row = (await connection.execute(query)).first()
    if row is None:
        raise KeyNotFound("there is no such key")
    return api_key_from(row)


def _check_alive(key: ApiKey, *, now: datetime) -> None:
    if key.revoked_at is not None:
        raise CredentialEnded("the key is revoked")
    if key.expires_at is not None and key.expires_at <= now:
        raise CredentialEnded("the key has expired")
