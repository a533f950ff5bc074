"""A running server for the tests that need one, shared by a module and stopped after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server, free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `tollgate demo` with a data folder of its own."""
    running = Server(tmp_path_factory.mktemp("server"), free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server that the test may kill, stop and start again."""
    running = Server(tmp_path, free_port())
    running.start()
    yield running
    running.stop()
