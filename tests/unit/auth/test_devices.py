"""A device that has logged in before is known by a sealed token."""

import base64

import pytest

from auth.devices import LIFETIME_SECONDS, Devices
from tests.unit.auth.conftest import SEALER, FakeClock


@pytest.fixture
def devices(clock: FakeClock) -> Devices:
    """The devices of a server."""
    return Devices(SEALER, now=clock.seconds)


def test_token_names_the_device_and_its_account(devices: Devices) -> None:
    """And is another for each device."""
    first, second = (devices.read(devices.issue("ada", known=None)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.username == second.username == "ada"
    assert first.device_id != second.device_id


def test_known_device_stays_the_same(devices: Devices) -> None:
    """Logging in again gives it no new count of guesses."""
    known = devices.read(devices.issue("ada", known=None))
    assert devices.read(devices.issue("ada", known=known)) == known


def test_token_ends(devices: Devices, clock: FakeClock) -> None:
    """A lost one is worth nothing for ever."""
    token = devices.issue("ada", known=None)
    clock.advance(LIFETIME_SECONDS - 1)
    assert devices.read(token) is not None
    clock.advance(1)
    assert devices.read(token) is None


def test_changed_token_is_none(devices: Devices) -> None:
    """Whichever character is another."""
    token = devices.issue("ada", known=None)
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        assert devices.read(token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize("text", [None, "", "a", "====", "é", "A" * 40, "A" * 10_000, "\x00"])
def test_garbage_is_no_device(devices: Devices, text: str | None) -> None:
    """And no error."""
    assert devices.read(text) is None


def test_what_was_sealed_for_something_else_is_no_device(devices: Devices) -> None:
    """Another secret of the server does not pass for one."""
    sealed = base64.urlsafe_b64encode(SEALER.seal(b'["x", "ada", 1e12]', "totp:ada")).decode()
    assert devices.read(sealed) is None
