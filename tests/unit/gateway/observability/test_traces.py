"""Traces are off unless asked for, and an absent extra is told by its name."""

import importlib
import sys

import pytest

from gateway.errors import StartRefused
from gateway.observability.traces import open_traces
from gateway.settings import Settings

MODULE = "gateway.observability.otlp"


def test_traces_are_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of OpenTelemetry is imported then."""
    monkeypatch.setitem(sys.modules, MODULE, None)
    assert open_traces(Settings()) is None


def test_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    importlib.invalidate_caches()
    with pytest.raises(StartRefused, match=r"tollgate\[traces\]"):
        open_traces(Settings(traces=True))
