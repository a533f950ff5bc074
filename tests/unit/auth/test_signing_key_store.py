"""Signing keys in SQL: made once, rotated, revoked, and never in the open."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.catalogue import EVERY_TENANT
from auth.errors import InvalidChange, SigningKeyNotFound
from auth.generation import Generation
from auth.keyset import Keyset
from auth.signing_keys import PUBLISH_AHEAD, KeyState, sealing_context
from auth.store import Store
from auth.token_tables import revoked_tokens
from auth.tokens import AccessClaims
from tests.actors import TESTER
from tests.unit.auth.conftest import PEPPERS, SEALER, FakeClock

MAX_AGE = timedelta(days=30)
_AHEAD = PUBLISH_AHEAD.total_seconds()


async def states(store: Store, clock: FakeClock) -> list[KeyState]:
    """List what the keys are good for now, in the order in which they sign."""
    return [key.state(clock.now) for key in await store.list_signing_keys()]


async def test_first_key_is_made_by_one_of_many(
    store: Store, cli_store: Store, clock: FakeClock
) -> None:
    """Processes that start together share one key."""
    await asyncio.gather(
        *(one.tend_signing_keys(actor=TESTER, max_age=MAX_AGE) for one in (store, cli_store))
    )
    assert await states(store, clock) == [KeyState.SIGNING]


async def test_tending_where_nothing_is_due_changes_nothing(
    store: Store, generation: Generation
) -> None:
    """No server has to read the catalogue again."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    before = generation.value
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    assert generation.value == before


async def test_old_key_gets_one_successor(store: Store, cli_store: Store, clock: FakeClock) -> None:
    """Of many that find it old, one publishes another, which then signs."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    clock.advance(MAX_AGE.total_seconds() - _AHEAD)
    await asyncio.gather(
        *(one.tend_signing_keys(actor=TESTER, max_age=MAX_AGE) for one in (store, cli_store))
    )
    assert await states(store, clock) == [KeyState.SIGNING, KeyState.PUBLISHED]
    clock.advance(_AHEAD)
    assert await states(store, clock) == [KeyState.RETIRED, KeyState.SIGNING]


async def test_what_is_over_is_erased_and_forgotten(store: Store, clock: FakeClock) -> None:
    """A retired key keeps no private part, and is not listed for ever."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    clock.advance(5)
    await store.rotate_signing_key(actor=TESTER, at_once=True)
    clock.advance(60)
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    parts = [key.sealed_private is None for key in await store.list_signing_keys()]
    assert parts == [True, False]
    clock.advance(86_400)
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    assert await states(store, clock) == [KeyState.SIGNING]


async def test_rotation_publishes_before_it_signs(store: Store, clock: FakeClock) -> None:
    """Whoever keeps a copy of the key set knows the key before its first token."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    successor = await store.rotate_signing_key(actor=TESTER)
    assert successor.signs_from == clock.now + PUBLISH_AHEAD
    assert await states(store, clock) == [KeyState.SIGNING, KeyState.PUBLISHED]


async def test_second_rotation_waits_for_the_first(store: Store) -> None:
    """A key that is published already is the next one."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    await store.rotate_signing_key(actor=TESTER)
    with pytest.raises(InvalidChange, match="published already"):
        await store.rotate_signing_key(actor=TESTER)


@pytest.mark.parametrize("is_published", [True, False])
async def test_rotation_at_once_lets_the_next_key_sign(
    store: Store, clock: FakeClock, *, is_published: bool
) -> None:
    """The next key signs from now on, and the one before goes on verifying."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    if is_published:
        await store.rotate_signing_key(actor=TESTER)
    clock.advance(5)
    rotated = await store.rotate_signing_key(actor=TESTER, at_once=True)
    assert rotated.state(clock.now) is KeyState.SIGNING
    assert await states(store, clock) == [KeyState.RETIRED, KeyState.SIGNING]


@pytest.mark.parametrize("is_published", [True, False])
async def test_revoked_key_is_replaced_at_once(
    store: Store, clock: FakeClock, *, is_published: bool
) -> None:
    """A stolen key is gone with its private part, and another signs."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    if is_published:
        await store.rotate_signing_key(actor=TESTER)
    [stolen, *_] = await store.list_signing_keys()
    clock.advance(5)
    revoked = await store.revoke_signing_key(stolen.kid, actor=TESTER)
    assert (revoked.state(clock.now), revoked.sealed_private) == (KeyState.GONE, None)
    assert await states(store, clock) == [KeyState.GONE, KeyState.SIGNING]


async def test_key_before_a_revoked_successor_goes_on(store: Store, clock: FakeClock) -> None:
    """It would otherwise end with nobody to follow."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    successor = await store.rotate_signing_key(actor=TESTER)
    await store.revoke_signing_key(successor.kid, actor=TESTER)
    clock.advance(2 * _AHEAD)
    assert await states(store, clock) == [KeyState.SIGNING, KeyState.GONE]


async def test_unknown_key_cannot_be_revoked(store: Store) -> None:
    """A slip of the pen is told."""
    with pytest.raises(SigningKeyNotFound):
        await store.revoke_signing_key("unknown", actor=TESTER)


async def test_revoked_key_is_announced_to_everybody(
    engine: AsyncEngine, generation: Generation, clock: FakeClock
) -> None:
    """A stolen key makes tokens of every tenant, so every server must know before the answer."""
    told: list[str] = []

    async def announce(tenant_id: str, _revision: int) -> None:
        told.append(tenant_id)

    store = Store(
        engine,
        pepper=PEPPERS,
        sealer=SEALER,
        generation=generation,
        now=clock.aware,
        announce=announce,
    )
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    [key] = await store.list_signing_keys()
    await store.revoke_signing_key(key.kid, actor=TESTER)
    assert told == [EVERY_TENANT]


async def test_private_part_is_sealed_for_its_own_key(store: Store) -> None:
    """It opens for the key that it belongs to, and signs as that key."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    [key] = await store.list_signing_keys()
    assert key.sealed_private is not None
    scalar = SEALER.open(key.sealed_private, sealing_context(key.kid))
    assert len(scalar) == 32
    assert scalar not in key.sealed_private


async def test_keyset_learns_of_another_process_key(
    *, store: Store, cli_store: Store, keyset: Keyset, clock: FakeClock
) -> None:
    """A key that the command line made signs the next token of a running server."""
    await store.tend_signing_keys(actor=TESTER, max_age=MAX_AGE)
    await keyset.refresh()
    rotated = await cli_store.rotate_signing_key(actor=TESTER, at_once=True)
    assert not keyset.is_current()
    await keyset.refresh()
    signing = keyset.ring.signing(clock.seconds())
    assert signing is not None
    assert signing.kid == rotated.kid


async def test_revoked_tokens_are_forgotten_long_after_their_end(
    store: Store, engine: AsyncEngine, clock: FakeClock
) -> None:
    """The list holds what could still be shown, with room for a clock that is put back."""

    def claims(token_id: str) -> AccessClaims:
        now = int(clock.seconds())
        scopes = frozenset({"predict"})
        return AccessClaims("cli", "cli", "platform", scopes, token_id, now, now + 300, "kid")

    await store.revoke_token(claims("first"), actor=TESTER)
    await store.revoke_token(claims("first"), actor=TESTER)
    clock.advance(3 * 3600)
    await store.revoke_token(claims("second"), actor=TESTER)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(revoked_tokens)) == 1
