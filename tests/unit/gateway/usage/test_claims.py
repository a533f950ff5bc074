"""Claims: one worker at a time has a number, and a worker that is gone has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.usage.claims import Claims

NUMBER = (1 << 62) - 1


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[Claims, Claims]]:
    """Return the claims of two workers of one folder."""
    one, other = Claims(tmp_path), Claims(tmp_path)
    yield one, other
    other.close()


def test_number_is_taken_by_one_worker_at_a_time(workers: tuple[Claims, Claims]) -> None:
    """The other gets it when it was given back, and neighbours at any time."""
    one, other = workers
    assert one.take(NUMBER)
    assert not other.take(NUMBER)
    assert other.take(NUMBER - 1)
    one.give_back(NUMBER)
    assert other.take(NUMBER)
    one.close()


def test_worker_that_is_gone_has_nothing(workers: tuple[Claims, Claims], tmp_path: Path) -> None:
    """Its claims and its journals are free at once."""
    one, other = workers
    journal = tmp_path / "worker-3.db"
    one.mark_open(journal)
    assert one.take(0)
    assert other.is_open(journal)
    one.close()
    assert other.take(0)
    assert not other.is_open(journal)


def test_journal_is_open_until_it_is_closed(workers: tuple[Claims, Claims], tmp_path: Path) -> None:
    """The worker that has it open is told so too, and other journals are not."""
    one, other = workers
    journal = tmp_path / "worker-0.db"
    one.mark_open(journal)
    assert one.is_open(journal)
    assert not other.is_open(tmp_path / "worker-1.db")
    one.mark_closed(journal)
    assert not other.is_open(tmp_path / "worker-0-copy.db")
    assert not one.is_open(journal)
    assert not other.is_open(journal)
    one.close()
