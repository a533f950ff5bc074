"""Find damage in SQLite's write-ahead log, which SQLite itself takes for the end of the log.

After a crash SQLite replays frames up to the first one whose checksum is wrong, and says nothing.
That is right for what a crash tore, which is the last commit, and wrong for what a disk changed: a
commit that another one follows was durable before that began. A wrong frame with two commits behind
it, the second of which follows the first by their checksums, is therefore damage.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import os
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_LITTLE, _BIG = 0x377F0682, 0x377F0683
"""Magic numbers, which say in which order the checksums read the bytes of a word."""

_HEAD: Final = np.dtype([("words", ">u4", 6), ("checksum", ">u4", 2)])
_PAGE_SIZES: Final = [1 << exponent for exponent in range(9, 17)]
_PAGE_SIZE_AT: Final = 16
"""Where the file of the database says how large its pages are."""

_DEFAULT_PAGE_SIZE: Final = 4096
_CHUNK: Final = 1024
_STEP: Final = np.array([[1, 1], [1, 2]], dtype=np.uint32)
"""What two more words make of the two sums that are a checksum."""


class Log(NamedTuple):
    """The frames of a log: pages of the database as commits wrote them, one after the other."""

    frames: NDArray[np.void]
    """Each with `page`, `pages` (of the database after the commit, in its last frame), `salts`,
    `checksum` and `content`."""

    follows: NDArray[np.bool_]
    """Whether a frame is of this log and its checksum follows from the one before it."""

    commits: NDArray[np.bool_]
    """Whether a frame is of this log and the last one of a commit."""

    is_headed: bool
    """Whether the head of the log is what was written."""

    @classmethod
    def read(cls, path: Path, database: Path) -> Self | None:
        """Read a log that nobody writes; None where there is none, or nothing in it.

        Args:
            path: of the log.
            database: asked for the size of a page where the log cannot tell.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls._read(file, database)
        except FileNotFoundError:
            return None

    @classmethod
    def _read(cls, file: BinaryIO, database: Path) -> Self | None:
        """Read an open log: whoever closes the journal last removes the file."""
        head = np.fromfile(file, _HEAD, count=1)
        if not head.size:
            return None
        magic, _, page_size, _, *salts = (int(word) for word in head["words"][0])
        order = "<u4" if magic == _LITTLE else ">u4"
        sums = _sums(head["words"].copy().view(np.uint8), order)
        is_headed = magic in (_LITTLE, _BIG) and bool((sums == head["checksum"]).all())
        if not is_headed:
            order = "<u4"
            page_size = _page_size(database)
        frame = _frame(page_size)
        count = (os.fstat(file.fileno()).st_size - _HEAD.itemsize) // frame.itemsize
        if not count:
            return None
        frames = np.memmap(file, frame, mode="r", offset=_HEAD.itemsize, shape=(count,))
        own = frames["salts"] == (salts if is_headed else frames["salts"][0])
        is_own = own.all(axis=1)
        follows = is_own & _follow(frames, head["checksum"], order)
        return cls(frames, follows, is_own & (frames["pages"] != 0), is_headed)

    @property
    def damaged_at(self) -> int | None:
        """The first frame that is not what was written; None where nothing says so."""
        if not self.is_headed:
            return 0
        if next(self._proven_runs(), None) is None:
            return None
        return int(np.flatnonzero(~self.follows)[0])

    @property
    def end(self) -> int:
        """How many frames reach to the last commit that is known to have been durable."""
        broken = np.flatnonzero(~self.follows)
        first = int(broken[0]) if broken.size else self.follows.size
        ends = [*(run.stop for run in self._proven_runs()), first]
        commits = np.flatnonzero(self.commits[: max(ends)])
        return int(commits[-1]) + 1 if commits.size else 0

    def _proven_runs(self) -> Iterator[slice]:
        """List the frames behind the first wrong one that a crash cannot have left.

        What was written and taken back may be left there as well, but is one commit at most.
        """
        broken = np.flatnonzero(~self.follows)
        for start, stop in pairwise([*broken.tolist(), self.follows.size]):
            if self.commits[start : stop - 1].any() or (start == 0 and not self.is_headed):
                yield slice(start, stop)


def damage_in_log(path: Path, database: Path) -> str | None:
    """Say what is wrong with a log that nobody writes; None where it is as it was written.

    Cost: each frame is read once, 10 µs for one of 4 KiB; SQLite keeps about a thousand.

    Raises:
        OSError: it cannot be read.
    """
    log = Log.read(path, database)
    if log is None or log.damaged_at is None:
        return None
    if not log.is_headed:
        return "the head of its write-ahead log has changed"
    return f"frame {log.damaged_at + 1} of its write-ahead log has changed"


def replay_log(path: Path, database: Path) -> None:
    """Write every page of a damaged log into the database, and remove the log.

    Pages that have changed go along: whoever reads them has checksums of his own.

    Raises:
        OSError: one of the files cannot be read or written.
    """
    log = Log.read(path, database)
    if log is not None:
        with database.open("r+b") as file:
            _write_pages(file, log)
    path.unlink(missing_ok=True)


def _write_pages(file: BinaryIO, log: Log) -> None:
    """Write what commits wrote; a number of a page that cannot be is one that has changed."""
    size = log.frames["content"].dtype.itemsize
    most = os.fstat(file.fileno()).st_size // size + len(log.frames)
    for frame in log.frames[: log.end]:
        if 1 <= frame["page"] <= most:
            file.seek((int(frame["page"]) - 1) * size)
            file.write(frame["content"].tobytes())


def _frame(page_size: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("page", ">u4"),
            ("pages", ">u4"),
            ("salts", ">u4", 2),
            ("checksum", ">u4", 2),
            ("content", f"V{page_size}"),
        ]
    )


def _page_size(database: Path) -> int:
    with database.open("rb") as file:
        file.seek(_PAGE_SIZE_AT)
        size = int.from_bytes(file.read(2), "big")
    size = 1 << 16 if size == 1 else size
    return size if size in _PAGE_SIZES else _DEFAULT_PAGE_SIZE


def _follow(frames: NDArray[np.void], before: NDArray[np.uint32], order: str) -> NDArray[np.bool_]:
    """Say of each frame whether its checksum follows from the one before it.

    Shape: `[frames]`, from `[frames]` and the `[1, 2]` checksum of the head.
    """
    found = np.empty(len(frames), dtype=np.bool_)
    for first in range(0, len(frames), _CHUNK):
        chunk = np.asarray(frames[first : first + _CHUNK])
        content = chunk.view(np.uint8).reshape(len(chunk), -1)
        summed = np.concatenate([content[:, :8], content[:, 24:]], axis=1)
        stored = chunk["checksum"]
        start = np.concatenate([before, stored[:-1]]).astype(np.uint32)
        found[first : first + len(chunk)] = (_sums(summed, order, start) == stored).all(axis=1)
        before = stored[-1:]
    return found


def _sums(content: NDArray[np.uint8], order: str, start: Words | None = None) -> Words:
    """Return the checksums of rows of bytes: `[rows, bytes]` to `[rows, 2]`.

    The sums of SQLite are linear in the words, modulo 2^32, so each is a product with weights.
    """
    words = content.reshape(len(content), -1).view(order).astype(np.uint32)
    weights, carry = _weights(words.shape[1])
    sums: Words = words @ weights
    return sums if start is None else sums + start @ carry


@cache
def _weights(words: int) -> tuple[Words, Words]:
    """Return how much each word of a row, and what was before the row, adds to the two sums."""
    weights = np.empty((words, 2), dtype=np.uint32)
    carry = np.eye(2, dtype=np.uint32)
    for pair in range(words - 2, -1, -2):
        weights[pair] = carry[0] + carry[1]
        weights[pair + 1] = carry[1]
        carry = _STEP @ carry
    return weights, carry
