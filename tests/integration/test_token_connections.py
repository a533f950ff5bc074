"""Checking a token connects to nowhere, seen in the server's own system calls.

Threat: a verifier that follows `jku` or `x5u` lets any stranger choose the key, and send the server
wherever it can reach.
"""

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.forgeries import FORGERIES, Forge
from tests.serving import Server, free_port
from tests.tokens import open_office, set_up_forge

TRACED = "trace=connect,sendto,sendmsg,accept4"
_OUTBOUND = re.compile(r"(connect|sendto|sendmsg)\(.*sa_family=AF_INET")


@pytest.fixture
def traced_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server under strace."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed"
    trace = str(tmp_path / "trace")
    running = Server(tmp_path, free_port(), wrapper=(strace, "-D", "-f", "-e", TRACED, "-o", trace))
    running.start()
    yield running
    running.stop()


def test_no_token_makes_the_server_connect(traced_server: Server, tmp_path: Path) -> None:
    """Neither a good token nor any forgery, with `jku`, `x5u`, `x5c` and `jwk` among them."""
    settings = Settings(data_dir=traced_server.data_dir, port=traced_server.port)

    async def set_up() -> Forge:
        async with open_office(settings) as office:
            return await set_up_forge(office, datetime.now(UTC))

    forge = asyncio.run(set_up())
    tokens = [make(forge) for make in FORGERIES.values()]
    sent = [token for token in tokens if token.isascii() and token.isprintable()]
    statuses = [traced_server.call("GET", "/v1/models", key=token).status for token in sent]
    assert set(statuses) == {401}
    assert traced_server.call("GET", "/v1/models", key=forge.valid).status == 200
    traced_server.stop()
    lines = (tmp_path / "trace").read_text(errors="replace").splitlines()
    assert sum("accept4(" in line for line in lines) > len(sent)
    assert [line for line in lines if _OUTBOUND.search(line)] == []
