"""The entry point for ASGI servers that are not started by the command line."""

import pytest

from gateway.app import Tollgate
from gateway.errors import SettingInvalid
from gateway.main import application


def test_factory_builds_the_server_from_the_environment() -> None:
    """`uvicorn --factory gateway.main:application` serves the same app."""
    assert isinstance(application(), Tollgate)


def test_factory_refuses_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value stops the start, not the first request."""
    monkeypatch.setenv("TOLLGATE_PORT", "many")
    with pytest.raises(SettingInvalid, match="TOLLGATE_PORT"):
        application()
