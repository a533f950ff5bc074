"""Issue, list, rotate and revoke OAuth2 clients."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.api_keys import ParsedKey
from auth.audit import Audited, Event, facts_of
from auth.bindings import UNBOUND, Bindings
from auth.catalogue import Catalogue
from auth.client_keys import ClientKey, read_keys
from auth.client_records import client_from, read_client_keys
from auth.client_tables import oauth_client_keys, oauth_client_secrets, oauth_clients
from auth.clients import CLIENT_ID_PREFIX, Client, IssuedClient, client_id_of, mint_secret
from auth.errors import ClientNotFound, CredentialEnded, RotationMismatch
from auth.overlaps import end_earlier
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
from auth.tables import tenants
from auth.tenant_store import plan_in, tenant_in


class ClientStore(Catalogue):
    """Keep OAuth2 clients.

    Threat: another tenant's client must look like one that never was, so every look-up names the
    tenant and the client in one condition.
    """

    async def create_client(
        self,
        tenant_id: str,
        *,
        actor: Actor,
        name: str,
        scopes: Iterable[str],
        jwks: Mapping[str, object] | None = None,
        expires_at: datetime | None = None,
        requests_per_second: float | None = None,
        burst: int | None = None,
        may_exceed_plan: bool = False,
        bindings: Bindings = UNBOUND,
    ) -> IssuedClient:
        """Make a client that signs with keys of its own, or without `jwks` one with a secret.

        With `may_exceed_plan`, which is the platform's to say, the client's own limits hold
        whatever the plan says; else they can only tighten it.

        Raises:
            InvalidChange: a value is not taken, or a limit is above the plan's and may not be.
            TenantNotFound: there is no such tenant.
        """
        now = self._now()
        minted = mint_secret()
        client = Client(
            client_id=client_id_of(minted),
            tenant_id=tenant_id,
            name=check_name(name),
            scopes=tuple(check_scopes(scopes, tenant_id=tenant_id)),
            authentication="client_secret" if jwks is None else "private_key_jwt",
            created_at=now,
            expires_at=check_expiry(expires_at, now=now),
            revoked_at=None,
            last_used_at=None,
            requests_per_second=requests_per_second,
            burst=check_rate(requests_per_second, burst),
            may_exceed_plan=may_exceed_plan,
            keys=() if jwks is None else read_keys(jwks),
            **asdict(bindings.checked()),
        )

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            await _check_within_plan(connection, client)
            await connection.execute(insert(oauth_clients).values(**_row(client, revision)))
            await self._add_proof(connection, client, minted)
            return Audited(None, _event("client.create", None, client))

        await self._write(change, actor=actor, tenant_id=tenant_id)
        return IssuedClient(client, None if client.keys else minted.text)

    async def get_client(self, tenant_id: str, client_id: str) -> Client:
        """Return a client of the tenant with the keys that count now.

        Raises:
            ClientNotFound: there is none of this id, or it is another tenant's.
        """
        now = self._now()
        return await self._read(
            lambda connection: _client_in(connection, tenant_id, client_id, now=now)
        )

    async def list_clients(self, tenant_id: str, *, after: str | None, limit: int) -> list[Client]:
        """Return a page of the tenant's clients in the order of their ids, revoked ones too.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
            TenantNotFound: there is no such tenant.
        """
        check_page(after, limit)
        now = self._now()
        query = select(oauth_clients).where(oauth_clients.c.tenant_id == tenant_id)
        if after is not None:
            query = query.where(oauth_clients.c.client_id > after)
        query = query.order_by(oauth_clients.c.client_id).limit(limit)

        async def operation(connection: AsyncConnection) -> list[Client]:
            await tenant_in(connection, tenant_id)
            rows = list(await connection.execute(query))
            keys = await read_client_keys(connection, [row.client_id for row in rows], now=now)
            return [client_from(row, keys.get(row.client_id, ())) for row in rows]

        return await self._read(operation)

    async def revoke_client(self, tenant_id: str, client_id: str, *, actor: Actor) -> None:
        """Stop a client and all of its tokens for good, before this returns; once more is nothing.

        Raises:
            ClientNotFound: there is none of this id, or it is another tenant's.
        """
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            client = await _client_in(connection, tenant_id, client_id, now=now)
            if client.revoked_at is not None:
                return Audited(None)
            stopped = update(oauth_clients).where(oauth_clients.c.client_id == client_id)
            await connection.execute(stopped.values(revoked_at=now, revision=revision))
            return Audited(None, _event("client.revoke", client, replace(client, revoked_at=now)))

        await self._write(change, actor=actor, tenant_id=tenant_id)

    async def rotate_client(
        self,
        tenant_id: str,
        client_id: str,
        *,
        actor: Actor,
        overlap_seconds: int,
        jwks: Mapping[str, object] | None = None,
    ) -> IssuedClient:
        """Give a client a new secret, or its new keys; the earlier ones go on for the overlap.

        What already had an end keeps it if it is sooner. A client goes on as it began: one with a
        secret takes no keys.

        Raises:
            CredentialEnded: the client is revoked or expired.
            InvalidChange: the overlap is out of range, or the keys are no good ones.
            RotationMismatch: the client proves itself otherwise, or a kid is in use.
            ClientNotFound: there is none of this id, or it is another tenant's.
        """
        check_overlap(overlap_seconds)
        now = self._now()
        ends_at = now + timedelta(seconds=overlap_seconds)
        keys = () if jwks is None else read_keys(jwks)

        async def change(connection: AsyncConnection, revision: int) -> Audited[IssuedClient]:
            client = await _client_in(connection, tenant_id, client_id, now=now)
            _check_rotation(client, keys, now=now)
            stamped = update(oauth_clients).where(oauth_clients.c.client_id == client_id)
            await connection.execute(stamped.values(revision=revision))
            if keys:
                await _replace_keys(connection, client_id, keys, now=now, ends_at=ends_at)
                rotated = await _client_in(connection, tenant_id, client_id, now=now)
                return Audited(
                    IssuedClient(rotated, None), _event("client.rotate", client, rotated)
                )
            secrets = oauth_client_secrets
            of_client = secrets.c.client_id == client_id
            await end_earlier(connection, secrets, of_client, now=now, ends_at=ends_at)
            minted = mint_secret(client_id)
            await self._add_client_secret(connection, minted)
            return Audited(
                IssuedClient(client, minted.text), _event("client.rotate", client, client)
            )

        return await self._write(change, actor=actor, tenant_id=tenant_id)

    async def touch_clients(self, last_used: Mapping[str, datetime]) -> None:
        """Note when clients were last used; a time never goes back, and nothing is reloaded."""
        rows = [
            {"used_client_id": client_id, "at": at}
            for client_id, at in sorted(last_used.items())
            if client_id.startswith(CLIENT_ID_PREFIX)
        ]
        if not rows:
            return
        client = oauth_clients.c
        is_earlier = or_(client.last_used_at.is_(None), client.last_used_at < bindparam("at"))
        touched = (
            update(oauth_clients)
            .where((client.client_id == bindparam("used_client_id")) & is_earlier)
            .values(last_used_at=bindparam("at"))
        )
        async with self._engine.begin() as connection:
            await connection.execute(touched, rows)

    async def _add_proof(
        self, connection: AsyncConnection, client: Client, minted: ParsedKey
    ) -> None:
        """Store what a new client proves itself with: its keys, else the secret."""
        if client.keys:
            await _add_keys(connection, client.client_id, client.keys)
        else:
            await self._add_client_secret(connection, minted)

    async def _add_client_secret(self, connection: AsyncConnection, minted: ParsedKey) -> None:
        """Store what is kept of a secret: its digest.

        Raises:
            PepperMismatch: the secrets that are there were made with another pepper.
        """
        stored = await self._digest(connection, minted.text)
        row = {"client_id": client_id_of(minted), **stored._asdict()}
        await connection.execute(insert(oauth_client_secrets).values(**row))


def _event(action: str, before: Client | None, after: Client) -> Event:
    return Event(
        action=action,
        tenant_id=after.tenant_id,
        target=after.client_id,
        before=None if before is None else facts_of(before),
        after=facts_of(after),
    )


async def _client_in(
    connection: AsyncConnection, tenant_id: str, client_id: str, *, now: datetime
) -> Client:
    row = None
    if is_id(tenant_id) and is_id(client_id):
        clients = oauth_clients.c
        both = (clients.client_id == client_id) & (clients.tenant_id == tenant_id)
        living = both & (tenants.c.status != "deleted")
        query = select(*oauth_clients.columns).join_from(oauth_clients, tenants).where(living)
        row = (await connection.execute(query)).first()
    if row is None:
        raise ClientNotFound("there is no such client")
    keys = await read_client_keys(connection, [client_id], now=now)
    return client_from(row, keys.get(client_id, ()))


async def _check_within_plan(connection: AsyncConnection, client: Client) -> None:
    """Pass limits that the platform set, or that are within the plan of the client's tenant."""
    tenant = await tenant_in(connection, client.tenant_id)
    if tenant.plan_id is None or client.may_exceed_plan:
        return
    plan = await plan_in(connection, tenant.plan_id)
    own_rate = client.requests_per_second
    check_override(own_rate, plan.requests_per_second, field="requests_per_second")
    check_override(client.burst, plan.burst, field="burst")


def _row(client: Client, revision: int) -> dict[str, Any]:
    columns = asdict(replace(client, keys=()))
    del columns["keys"]
    return columns | {"revision": revision}


def _check_rotation(client: Client, keys: tuple[ClientKey, ...], *, now: datetime) -> None:
    if client.revoked_at is not None:
        raise CredentialEnded("the client is revoked")
    if client.expires_at is not None and client.expires_at <= now:
        raise CredentialEnded("the client has expired")
    if keys and client.authentication == "client_secret":
        raise RotationMismatch("the client has a secret and takes no jwks")
    if not keys and client.authentication == "private_key_jwt":
        raise RotationMismatch("the client signs: send its new keys as jwks")
    known = {key.name: key for key in client.keys}
    if any(known.get(key.name, key) != key for key in keys):
        raise RotationMismatch("jwks holds another key under a kid that is in use")


async def _add_keys(
    connection: AsyncConnection, client_id: str, keys: tuple[ClientKey, ...]
) -> None:
    rows = [{"client_id": client_id, "kid": key.name, "jwk": key.jwk} for key in keys]
    await connection.execute(insert(oauth_client_keys), rows)


async def _replace_keys(
    connection: AsyncConnection,
    client_id: str,
    keys: tuple[ClientKey, ...],
    *,
    now: datetime,
    ends_at: datetime,
) -> None:
    """Put the new keys in, end those that are not among them at `ends_at` or sooner."""
    key = oauth_client_keys.c
    names = [item.name for item in keys]
    of_client = key.client_id == client_id
    await connection.execute(delete(oauth_client_keys).where(of_client & key.kid.in_(names)))
    await end_earlier(connection, oauth_client_keys, of_client, now=now, ends_at=ends_at)
    await _add_keys(connection, client_id, keys)
