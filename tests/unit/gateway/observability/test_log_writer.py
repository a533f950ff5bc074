"""The log stops nobody: lines are written in order, and dropped and counted when nobody reads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.observability.log_writer import PIPE_BYTES, LogWriter


@dataclass
class Pipe:
    """A reader of the log that reads when it is told to."""

    reading: int
    writing: int

    def read_to_end(self) -> bytes:
        """Read until the writing end is closed."""
        os.close(self.writing)
        with os.fdopen(os.dup(self.reading), "rb") as file:
            return file.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Open a pipe."""
    reading, writing = os.pipe()
    yield Pipe(reading, writing)
    os.close(reading)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    """All of them, also those of the last moment."""
    writer = LogWriter(pipe.writing)
    lines = [b"line %d\n" % number for number in range(2000)]
    for line in lines:
        writer.write(line)
    writer.close()
    assert pipe.read_to_end() == b"".join(lines)
    assert writer.dropped == 0


def test_reader_that_is_stuck_stops_nobody(pipe: Pipe) -> None:
    """What does not fit is dropped and counted, and memory is bounded."""
    writer = LogWriter(pipe.writing, max_lines=100)
    for _ in range(5000):
        writer.write(b"x" * 1023 + b"\n")
    assert writer.dropped > 4000
    with os.fdopen(os.dup(pipe.reading), "rb", 0) as reader:
        received = sum(len(reader.read(65536)) // 1024 for _ in range(2))
    writer.close()
    assert received


def test_lines_are_kept_whole_for_several_writers(pipe: Pipe) -> None:
    """A pipe keeps what is written at once together up to a size; no write is larger."""
    writers = [LogWriter(pipe.writing) for _ in range(3)]
    lines = [bytes([65 + number]) * 700 + b"\n" for number in range(3)]
    for _ in range(20):
        for writer, line in zip(writers, lines, strict=True):
            writer.write(line)
    for writer in writers:
        writer.close()
    written = pipe.read_to_end().splitlines(keepends=True)
    assert sorted(written) == sorted(lines * 20)
    assert PIPE_BYTES == 4096


def test_reader_that_is_gone_is_counted() -> None:
    """A broken pipe ends neither the thread nor the server."""
    gone, writing = os.pipe()
    os.close(gone)
    writer = LogWriter(writing)
    writer.write(b"x\n")
    writer.close()
    os.close(writing)
    assert writer.dropped == 1


def test_line_after_the_end_is_dropped(pipe: Pipe) -> None:
    """Nobody would write it."""
    writer = LogWriter(pipe.writing)
    writer.close()
    writer.write(b"late\n")
    assert pipe.read_to_end() == b""
    assert writer.dropped == 1


def test_reader_that_takes_little_is_waited_for(pipe: Pipe) -> None:
    """A descriptor that does not block is written when it has room again."""
    os.set_blocking(pipe.writing, False)
    writer = LogWriter(pipe.writing)
    for _ in range(100):
        writer.write(b"y" * 4095 + b"\n")
    with os.fdopen(os.dup(pipe.reading), "rb") as reader:
        received = reader.read(100 * 4096)
    writer.close()
    assert received == (b"y" * 4095 + b"\n") * 100
    assert writer.dropped == 0
