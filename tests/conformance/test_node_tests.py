"""ONNX's own tests of its operators pass behind the wire."""

from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.node_tests import (
    TABLE,
    NodeTest,
    ask,
    list_names,
    remember_verdicts,
    render,
    write_tests,
)
from tests.serving import Server, free_port

SAMPLE_STEP = 25
CHUNK = 250


def failures_of(folder: Path, names: list[str]) -> tuple[list[NodeTest], dict[str, str]]:
    """Serve the models of some tests and ask each; return the tests, and what went wrong."""
    folder.mkdir()
    repository, data_dir = folder / "models", folder / "data"
    repository.mkdir()
    data_dir.mkdir()
    tests = write_tests(names, repository)
    served = [test for test in tests if not test.left_out]
    remember_verdicts(served, repository, data_dir)
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository), "TOLLGATE_LOG_LEVEL": "info"}
    server = Server(data_dir, free_port(), settings=settings)
    server.start()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    failures = {}
    for test in served:
        try:
            test.check(ask(server, connection, test))
        except AssertionError as error:
            failures[test.name] = str(error)
    connection.close()
    server.stop()
    return tests, failures


def test_some_node_tests_pass_over_binary_tensors(tmp_path: Path) -> None:
    """Every so-many-th of them, through one server."""
    tests, failures = failures_of(tmp_path / "sample", list_names()[::SAMPLE_STEP])
    assert failures == {}
    assert sum(not test.left_out for test in tests) > len(tests) // 2


@pytest.mark.soak
def test_all_node_tests_pass_over_binary_tensors(tmp_path: Path) -> None:
    """All that can be served, chunk by chunk, and the others are listed with their reasons."""
    names, tests = list_names(), list[NodeTest]()
    failures: dict[str, str] = {}
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        looked_at, failed = failures_of(tmp_path / str(first), chunk)
        tests += looked_at
        failures |= failed
    assert failures == {}
    assert render(tests) == TABLE.read_text(), "write it anew: python -m tests.node_tests"
