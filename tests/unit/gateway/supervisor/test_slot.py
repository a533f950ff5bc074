"""The longer a worker's starts go wrong, the longer the pauses between them."""

from gateway.supervisor.slot import pause_after


def test_first_death_is_answered_at_once() -> None:
    """A worker that was killed is missed."""
    assert pause_after(0) == 0.0


def test_pauses_double_up_to_a_bound() -> None:
    """A start that cannot succeed costs the machine little."""
    assert [pause_after(failures) for failures in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
    assert pause_after(1000) == 10.0
