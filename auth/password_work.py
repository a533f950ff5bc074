"""Do the slow work on passwords in one thread, with a bound on who waits for it.

Threat: a flood of log-ins that each take 64 MiB and 0.2 s of a core would take the memory and the
cores from the predictions.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from auth.errors import PasswordWorkFull
from auth.passwords import PasswordHasher

MAX_WAITING: Final = 4
_NICENESS: Final = 10

Result = TypeVar("Result")


class PasswordWork:
    """Hash and verify, one password at a time; who finds the queue full is told so at once.

    Two queues lead to the thread: strangers cannot take the places of people who are known, by
    their device or their session. Whoever leaves before its turn costs nothing more.
    """

    def __init__(self, hasher: PasswordHasher, *, max_waiting: int = MAX_WAITING) -> None:
        """Work with `hasher`; `max_waiting` of each kind may be there at the same time."""
        self._hasher = hasher
        self._max_waiting = max_waiting
        self._executor = ThreadPoolExecutor(
            1, thread_name_prefix="passwords", initializer=_yield_to_predictions
        )
        self._present = {True: 0, False: 0}

    async def hash(self, password: str) -> str:
        """Return what is stored of a password, for somebody who is known.

        Raises:
            PasswordWorkFull: too many wait already.
        """
        return await self._run(lambda: self._hasher.hash(password), is_known=True)

    async def verify(self, password: str, stored: str | None, *, is_known: bool) -> bool:
        """Tell whether a password is the stored one; None is nobody's and costs the same.

        Raises:
            PasswordWorkFull: too many of the same kind wait already.
        """
        return await self._run(lambda: self._hasher.verify(password, stored), is_known=is_known)

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a password was hashed with other parameters than today's."""
        return self._hasher.needs_rehash(stored)

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], Result], *, is_known: bool) -> Result:
        if self._present[is_known] >= self._max_waiting:
            raise PasswordWorkFull("too many log-ins at once")
        self._present[is_known] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._present[is_known] -= 1


def _yield_to_predictions() -> None:
    """Let every other thread go first, where the system keeps priorities of threads (Linux)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
