"""The bill is on the disk before the answer leaves, seen in the server's own system calls.

A `kill -9` cannot show this, because the page cache survives it: only the order of write, fsync and
answer proves what a power cut would leave.
"""

import asyncio
import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fronted import NO_ADDRESS_LIMITS, running_front
from tests.load import prediction_request
from tests.population import populate
from tests.serving import Server, free_port
from tests.tls_load import Manners, TlsLoad, TlsLog

MANY = 1000
ATTACH_SECONDS = 30.0
TRACED = "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"
_ID = re.compile(r"x-request-id: ([0-9a-f]{32})")
"""The id in an answer on its way to the client."""


def strace(trace: Path, *options: str) -> tuple[str, ...]:
    """Name the command that traces, with file names beside descriptors and whole buffers."""
    program = shutil.which("strace")
    assert program, "strace is not installed"
    return (program, *options, "-f", "-y", "-s", "100000", "-e", TRACED, "-o", str(trace))


@contextlib.contextmanager
def traced(pid: int, trace: Path) -> Iterator[None]:
    """Trace a process that runs, with all its threads, for the length of a block."""
    said = trace.with_suffix(".said")
    with said.open("wb") as words:
        process = subprocess.Popen(strace(trace, "-p", str(pid)), stderr=words)
    deadline = time.monotonic() + ATTACH_SECONDS
    while "attached" not in said.read_text():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield
    process.send_signal(signal.SIGINT)
    process.wait(ATTACH_SECONDS)


@pytest.fixture
def traced_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server under strace."""
    wrapper = strace(tmp_path / "trace", "-D")
    running = Server(tmp_path, free_port(), wrapper=wrapper)
    running.start()
    yield running
    running.stop()


def answers_before_their_fsync(trace: Path) -> tuple[int, list[str]]:
    """Walk a trace; return how many answers left, and the ids of those that left too early.

    An id is written when it stands in a write to the journal's log, and durable once an fsync of
    that log, begun after the write, has returned.
    """
    journal = re.compile(r"journals/[^>]*-wal>")
    written: set[str] = set()
    syncing: dict[str, set[str]] = {}
    durable: set[str] = set()
    answers, early = 0, []
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        call = call.lstrip()
        if call.startswith("pwrite64(") and journal.search(call[:300]):
            written |= set(re.findall(r"[0-9a-f]{32}", call))
        elif call.startswith(("fsync(", "fdatasync(")) and journal.search(call):
            syncing[thread] = set(written)
            if "unfinished" not in call:
                durable |= syncing.pop(thread)
        elif "sync resumed>" in call and thread in syncing:
            durable |= syncing.pop(thread)
        elif "HTTP/1.1 200 OK" in call and (found := _ID.search(call)) and "server-timing" in call:
            answers += 1
            early += [found[1]] if found[1] not in durable else []
    return answers, early


def test_fsync_of_the_journal_precedes_every_answer(traced_server: Server, tmp_path: Path) -> None:
    """A thousand answers, each after the fsync of its own record."""
    caller = populate(traced_server, tenants=1, keys_each=1)[0]
    body = prediction_request(caller, traced_server.demo["example"]).partition(b"\r\n\r\n")[2]
    for _ in range(MANY):
        assert traced_server.predict(caller.api_key, body).status == 200
    traced_server.stop()
    answers, early = answers_before_their_fsync(tmp_path / "trace")
    assert answers == MANY
    assert early == []


def test_fsync_precedes_every_answer_through_nginx(tmp_path: Path) -> None:
    """A thousand over TLS, many at a time, that share their fsyncs."""
    with running_front(tmp_path, nginx=NO_ADDRESS_LIMITS) as front:
        callers = populate(front.stack, tenants=2, keys_each=2)
        traces = {pid: tmp_path / f"trace-{pid}" for pid in front.stack.worker_pids()}
        with contextlib.ExitStack() as stack:
            for pid, trace in traces.items():
                stack.enter_context(traced(pid, trace))
            log = asyncio.run(ask_often(TlsLoad(front.nginx, callers, front.stack.demo["example"])))
    assert (dict(log.refused), log.unanswered) == ({}, [])
    told = [answers_before_their_fsync(trace) for trace in traces.values()]
    assert sum(answers for answers, _ in told) == len(log.served) >= MANY
    assert [early for _, early in told] == [[]] * len(traces)


async def ask_often(load: TlsLoad) -> TlsLog:
    """Ask on all connections until there are enough answers."""
    asked = iter(range(MANY))
    return await load.run(lambda: next(asked, None) is None, manners=Manners())
