"""What the engine says of a container is read rightly, and a missing engine is told."""

from pathlib import Path

import pytest

from scripts.stack_engine import Container, StackFailed, check_engine


@pytest.mark.parametrize(
    ("state", "health", "exit_code", "is_well", "is_lost"),
    [
        ("running", "healthy", 0, True, False),
        ("running", "starting", 0, False, False),
        ("running", "unhealthy", 0, False, False),
        ("running", "", 0, True, False),
        ("restarting", "", 1, False, False),
        ("exited", "", 0, True, False),
        ("exited", "", 1, False, True),
    ],
)
def test_container_is_judged_by_state_health_and_exit_status(
    state: str, health: str, exit_code: int, *, is_well: bool, is_lost: bool
) -> None:
    """Only what ended with an error is given up; what restarts may come round."""
    container = Container("gateway", state, health, exit_code)
    assert (container.is_well, container.is_lost) == (is_well, is_lost)


def test_missing_docker_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install, and what works without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackFailed, match="docker is not installed"):
        check_engine()
