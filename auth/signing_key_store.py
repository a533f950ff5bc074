"""Make, rotate and revoke the keys that sign tokens and receipts, and revoke single tokens.

Every change runs under the lock of the catalogue's revision, so of several servers that find the
same thing due one does it, and the others find it done.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import Audited, Event
from auth.catalogue import EVERY_TENANT, Catalogue
from auth.errors import InvalidChange, SigningKeyNotFound
from auth.revoked_tokens import KEPT_PAST_EXPIRY
from auth.signing_key_duties import Duties, duties_at, signing_and_next
from auth.signing_keys import (
    PUBLISH_AHEAD,
    KeyState,
    Purpose,
    SigningKey,
    generate_key_pair,
    sealing_context,
)
from auth.tenants import PLATFORM_TENANT_ID
from auth.token_rows import read_signing_keys
from auth.token_tables import revoked_tokens, signing_keys
from auth.tokens import AccessClaims

Result = TypeVar("Result")
Keys = tuple[SigningKey, ...]
_Change = Callable[[AsyncConnection, int, Keys], Awaitable[Result]]


class SigningKeyStore(Catalogue):
    """Keep signing keys and revoked tokens."""

    async def list_signing_keys(self, purpose: Purpose = Purpose.ACCESS) -> tuple[SigningKey, ...]:
        """Return the keys in the order in which they sign, those that are gone for a day too."""
        return _of(purpose, await self._read(read_signing_keys))

    async def tend_signing_keys(
        self, *, actor: Actor, max_age: timedelta, purpose: Purpose = Purpose.ACCESS
    ) -> None:
        """Do what is due: the first key, the successor of an old one, the end of those before.

        Cost: one read where nothing is due.
        """

        def due(keys: Sequence[SigningKey]) -> Duties:
            return duties_at(self._now(), keys, max_age=max_age)

        async def change(connection: AsyncConnection, revision: int, keys: Keys) -> None:
            duties = due(keys)
            if duties.needs_first:
                await self._add(connection, revision, signs_from=self._now(), purpose=purpose)
            if duties.ageing is not None:
                await self._succeed(connection, revision, duties.ageing)
            erased = update(signing_keys).where(signing_keys.c.kid.in_(duties.to_erase))
            await connection.execute(erased.values(sealed_private=None, revision=revision))
            forgotten = delete(signing_keys).where(signing_keys.c.kid.in_(duties.to_forget))
            await connection.execute(forgotten)

        if due(await self.list_signing_keys(purpose)):
            await self._change_keys(change, actor=actor, purpose=purpose)

    async def rotate_signing_key(
        self, *, actor: Actor, at_once: bool = False, purpose: Purpose = Purpose.ACCESS
    ) -> SigningKey:
        """Publish a successor, which signs once every copy of the key set can have it; return it.

        With `at_once` it signs from now on, and so does one that is published already. The tokens
        of the key before go on until they expire.

        Raises:
            InvalidChange: a successor is published already, and it is not to sign at once.
        """

        async def change(connection: AsyncConnection, revision: int, keys: Keys) -> str:
            now = self._now()
            current, successor = signing_and_next(now, keys)
            if successor is not None and not at_once:
                raise InvalidChange(f"{successor.kid} is published already", "kid")
            if successor is not None:
                kid = successor.kid
                await _stamp(connection, kid, signs_from=now, revision=revision)
            elif current is None or at_once:
                kid = await self._add(connection, revision, signs_from=now, purpose=purpose)
            else:
                return await self._succeed(connection, revision, current)
            if current is not None:
                await _stamp(connection, current.kid, signs_until=now, revision=revision)
            return kid

        return await self._find(await self._change_keys(change, actor=actor, purpose=purpose))

    async def revoke_signing_key(self, kid: str, *, actor: Actor) -> SigningKey:
        """Stop a key and all its tokens at once, and let another sign; return it as it is then.

        Threat: whoever holds a stolen key makes tokens of every client of every tenant, so no
        server may admit anybody by an older catalogue when this returns.

        Raises:
            SigningKeyNotFound: there is none of this id.
        """

        async def change(connection: AsyncConnection, revision: int, keys: Keys) -> int:
            now = self._now()
            key = _pick(keys, kid)
            state, purpose = key.state(now), key.purpose
            current, successor = signing_and_next(now, _of(purpose, keys))
            if key.revoked_at is None:
                gone = {"revoked_at": now, "sealed_private": None, "revision": revision}
                await _stamp(connection, kid, **gone)
            if state is KeyState.SIGNING and successor is not None:
                await _stamp(connection, successor.kid, signs_from=now, revision=revision)
            elif state is KeyState.SIGNING:
                await self._add(connection, revision, signs_from=now, purpose=purpose)
            elif state is KeyState.PUBLISHED and current is not None:
                await _stamp(connection, current.kid, signs_until=None, revision=revision)
            return revision

        await self._announce(EVERY_TENANT, await self._change_keys(change, actor=actor))
        return await self._find(kid)

    async def revoke_token(self, claims: AccessClaims, *, actor: Actor) -> None:
        """Stop a token before it expires, before this returns; once more changes nothing.

        What has expired long ago is forgotten on the way.
        """
        ends_at = datetime.fromtimestamp(claims.expires_at, UTC)
        row = {
            "token_id": claims.token_id,
            "client_id": claims.client_id,
            "expires_at": ends_at,
        }

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            oldest = self._now() - KEPT_PAST_EXPIRY
            await connection.execute(
                delete(revoked_tokens).where(revoked_tokens.c.expires_at < oldest)
            )
            of_token = select(revoked_tokens).where(revoked_tokens.c.token_id == claims.token_id)
            if (await connection.execute(of_token)).first() is not None:
                return Audited(None)
            await connection.execute(insert(revoked_tokens).values(**row, revision=revision))
            told = {"client_id": claims.client_id, "expires_at": ends_at.isoformat()}
            event = Event("token.revoke", claims.tenant_id, claims.token_id, None, told)
            return Audited(None, event)

        await self._write(change, actor=actor, tenant_id=claims.tenant_id)

    async def _change_keys(
        self, change: _Change[Result], *, actor: Actor, purpose: Purpose | None = None
    ) -> Result:
        """Apply a change to keys of one purpose; the audit log hears of each that it changed."""

        async def told(connection: AsyncConnection, revision: int) -> Audited[Result]:
            before = await read_signing_keys(connection)
            keys = before if purpose is None else _of(purpose, before)
            result = await change(connection, revision, keys)
            return Audited(result, *_events(before, await read_signing_keys(connection)))

        return await self._write(told, actor=actor)

    async def _find(self, kid: str) -> SigningKey:
        return _pick(await self._read(read_signing_keys), kid)

    async def _succeed(
        self, connection: AsyncConnection, revision: int, current: SigningKey
    ) -> str:
        """Publish the successor of the key that signs, and say when that one ends."""
        takes_over_at = self._now() + PUBLISH_AHEAD
        kid = await self._add(
            connection, revision, signs_from=takes_over_at, purpose=current.purpose
        )
        await _stamp(connection, current.kid, signs_until=takes_over_at, revision=revision)
        return kid

    async def _add(
        self,
        connection: AsyncConnection,
        revision: int,
        *,
        signs_from: datetime,
        purpose: Purpose,
    ) -> str:
        """Make a key; its private part leaves this function sealed.

        Threat: a copy of the database with the keys in the open could sign for every tenant.
        """
        pair = generate_key_pair()
        row = {
            "kid": pair.kid,
            "public_point": pair.public_point,
            "sealed_private": self._sealer.seal(pair.private_scalar, sealing_context(pair.kid)),
            "created_at": self._now(),
            "signs_from": signs_from,
            "purpose": purpose,
        }
        await connection.execute(insert(signing_keys).values(**row, revision=revision))
        return pair.kid


async def _stamp(connection: AsyncConnection, kid: str, **values: object) -> None:
    await connection.execute(update(signing_keys).where(signing_keys.c.kid == kid).values(**values))


def _events(before: Keys, after: Keys) -> Iterator[Event]:
    """Tell what became of each key; those that are forgotten come last."""
    old = {key.kid: key for key in before}
    new = {key.kid: key for key in after}
    for kid in [*new, *(old.keys() - new.keys())]:
        was, is_now = old.get(kid), new.get(kid)
        if was != is_now:
            told = [None if key is None else _described(key) for key in (was, is_now)]
            yield Event(_action(was, is_now), PLATFORM_TENANT_ID, kid, *told)


def _action(was: SigningKey | None, is_now: SigningKey | None) -> str:
    if was is None:
        return "signing_key.create"
    if is_now is None:
        return "signing_key.forget"
    is_revoked = was.revoked_at is None and is_now.revoked_at is not None
    return "signing_key.revoke" if is_revoked else "signing_key.change"


def _described(key: SigningKey) -> dict[str, object]:
    """Say what there is to say of a key; its private part is only said to be there."""
    times = {
        name: None if at is None else at.isoformat()
        for name, at in (
            ("signs_from", key.signs_from),
            ("signs_until", key.signs_until),
            ("revoked_at", key.revoked_at),
        )
    }
    return times | {
        "has_private_part": key.sealed_private is not None,
        "purpose": key.purpose.value,
    }


def _of(purpose: Purpose, keys: Keys) -> Keys:
    return tuple(key for key in keys if key.purpose is purpose)


def _pick(keys: Sequence[SigningKey], kid: str) -> SigningKey:
    for key in keys:
        if key.kid == kid:
            return key
    raise SigningKeyNotFound("there is no such signing key")
