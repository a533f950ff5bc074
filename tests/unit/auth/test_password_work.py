"""Slow work on passwords is done one at a time, and who finds it full is told so."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from auth.errors import PasswordWorkFull
from auth.password_work import PasswordWork
from auth.passwords import PasswordHasher
from tests.unit.auth.cheap_passwords import CHEAP_KIBIBYTES, cheap_hasher


class GatedHasher(PasswordHasher):
    """A hasher whose work ends when the test says so, and that counts who works at once."""

    def __init__(self) -> None:
        super().__init__(memory_kibibytes=CHEAP_KIBIBYTES, passes=1)
        self.gate = threading.Semaphore(0)
        self.verified: list[str] = []

    def verify(self, password: str, stored: str | None) -> bool:
        """Wait for the gate."""
        self.gate.acquire()
        self.verified.append(password)
        return super().verify(password, stored)


@pytest.fixture
def hasher() -> GatedHasher:
    """A hasher that waits."""
    return GatedHasher()


@pytest.fixture
def work(hasher: GatedHasher) -> Iterator[PasswordWork]:
    """Work with room for two strangers and two acquaintances."""
    work = PasswordWork(hasher, max_waiting=2)
    yield work
    hasher.gate.release(100)
    work.close()


async def _begun(work: PasswordWork, password: str, *, is_known: bool) -> "asyncio.Task[bool]":
    task = asyncio.create_task(work.verify(password, None, is_known=is_known))
    await asyncio.sleep(0)
    return task


async def test_one_too_many_is_refused_at_once(work: PasswordWork, hasher: GatedHasher) -> None:
    """The bound is on memory and on the time that the last one waits."""
    waiting = [await _begun(work, str(number), is_known=False) for number in range(2)]
    with pytest.raises(PasswordWorkFull):
        await work.verify("2", None, is_known=False)
    hasher.gate.release(2)
    await asyncio.gather(*waiting)
    assert hasher.verified == ["0", "1"]


async def test_strangers_leave_room_for_who_is_known(
    work: PasswordWork, hasher: GatedHasher
) -> None:
    """A flood of strangers does not keep the owner of a known device out."""
    strangers = [await _begun(work, "stranger", is_known=False) for _ in range(2)]
    owner = await _begun(work, "owner", is_known=True)
    hasher.gate.release(3)
    assert await asyncio.gather(*strangers, owner) == [False, False, False]


async def test_who_leaves_before_its_turn_costs_nothing(
    work: PasswordWork, hasher: GatedHasher
) -> None:
    """A guesser that hangs up at once does not fill the queue with work."""
    first = await _begun(work, "first", is_known=False)
    second = await _begun(work, "second", is_known=False)
    second.cancel()
    await asyncio.wait([second])
    third = await _begun(work, "third", is_known=False)
    hasher.gate.release(2)
    await asyncio.gather(first, third)
    assert hasher.verified == ["first", "third"]


async def test_work_tells_right_from_wrong() -> None:
    """Through the thread the answers are the hasher's."""
    work = PasswordWork(cheap_hasher())
    stored = await work.hash("plum kettle on the roof")
    assert await work.verify("plum kettle on the roof", stored, is_known=False)
    assert not await work.verify("plum kettle on the floor", stored, is_known=False)
    assert not work.needs_rehash(stored)
    work.close()
