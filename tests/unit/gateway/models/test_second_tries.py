"""What failed in passing is tried again, more and more rarely."""

from gateway.models.second_tries import SecondTries

KEY = ("adder", "1")


def beats_of_tries(tries: SecondTries, beats: int) -> list[int]:
    """Fail at each try; list the heartbeats at which one was due."""
    due = []
    for beat in range(1, beats + 1):
        if tries.beat() == [KEY]:
            due.append(beat)
            tries.put_off(KEY)
    return due


def test_tries_become_rare() -> None:
    """They cost the time of an engine that does not answer."""
    tries = SecondTries()
    tries.put_off(KEY)
    assert beats_of_tries(tries, 39) == [1, 3, 7, 15, 27, 39]


def test_version_is_tried_once_when_it_is_due() -> None:
    """Until somebody says that it failed again."""
    tries = SecondTries()
    tries.put_off(KEY)
    assert [tries.beat() for _ in range(3)] == [[KEY], [], []]


def test_version_that_came_begins_anew() -> None:
    """Its next failure has nothing to do with the last."""
    tries = SecondTries()
    for _ in range(4):
        tries.put_off(KEY)
    tries.forget(KEY)
    assert tries.beat() == []
    tries.put_off(KEY)
    assert tries.beat() == [KEY]
