"""Signing keys are tended beside the requests, whatever becomes of the database meanwhile."""

import logging
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from auth.signing_keys import PUBLISH_AHEAD, Purpose, SigningKey
from gateway.signing_key_care import keep_signing_keys
from tests.unit.gateway.routes.control_plane import ControlPlane


async def keys_of(plane: ControlPlane, *, at_least: int) -> list[str]:
    """Wait until there are so many keys, and return what they are good for."""
    keys: Sequence[SigningKey] = ()
    while len(keys) < at_least:
        keys = await plane.services.store.list_signing_keys()
    return [key.state(key.created_at) for key in keys]


async def test_key_that_is_old_gets_a_successor(plane: ControlPlane) -> None:
    """Nobody has to ask for it."""
    async with keep_signing_keys(
        plane.services.store, [Purpose.ACCESS], max_age=PUBLISH_AHEAD, interval_seconds=0
    ):
        assert await keys_of(plane, at_least=2) == ["signing", "published"]


async def test_care_goes_on_after_an_outage(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """What the database did not take is tried again, and the log says so without its reasons."""
    await _rename(plane, "signing_keys", "away")
    with caplog.at_level(logging.WARNING, logger="gateway.signing_key_care"):
        async with keep_signing_keys(
            plane.services.store, [Purpose.ACCESS], max_age=PUBLISH_AHEAD, interval_seconds=0
        ):
            while not caplog.messages:
                await plane.services.store.list_plans(after=None, limit=1)
            await _rename(plane, "away", "signing_keys")
            assert await keys_of(plane, at_least=2) == ["signing", "published"]
    assert "cannot be tended" in caplog.messages[0]


async def _rename(plane: ControlPlane, old: str, new: str) -> None:
    async with plane.services.engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
