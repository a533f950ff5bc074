"""The bill is on the disk before the answer leaves, seen in the server's own system calls.

A `kill -9` cannot show this, because the page cache survives it: only the order of write, fsync and
answer proves what a power cut would leave.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load import prediction_request
from tests.population import populate
from tests.serving import Server, free_port

REQUESTS = 200
TRACED = "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"
_ID = re.compile(r"x-request-id: ([0-9a-f]{32})")
"""The id in an answer on its way to the client."""


@pytest.fixture
def traced_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server under strace, with file names beside descriptors and whole buffers."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    trace = str(tmp_path / "trace")
    wrapper = (strace, "-D", "-f", "-y", "-s", "100000", "-e", TRACED, "-o", trace)
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
    """Two hundred answers, each after the fsync of its own record."""
    caller = populate(traced_server, tenants=1, keys_each=1)[0]
    body = prediction_request(caller, traced_server.demo["example"]).partition(b"\r\n\r\n")[2]
    for _ in range(REQUESTS):
        assert traced_server.predict(caller.api_key, body).status == 200
    traced_server.stop()
    answers, early = answers_before_their_fsync(tmp_path / "trace")
    assert answers == REQUESTS
    assert early == []
