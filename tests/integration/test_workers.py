"""A server of several workers: one socket, one announcement, one end."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import running_redis
from tests.stack import Stack, running_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Two workers on a unix socket, with a Redis of their own."""
    with running_redis(tmp_path) as redis, running_stack(tmp_path, redis_url=redis.url) as running:
        yield running


def test_each_worker_is_a_process(stack: Stack) -> None:
    """The supervisor has as many children as it was told to have."""
    assert len(stack.worker_pids()) == 2
    assert stack.log().count("Tollgate serves housing on unix:") == 1


def test_socket_is_for_the_owner_and_the_group(stack: Stack) -> None:
    """Whoever connects is believed as the proxy, so others may not; it goes with the server."""
    assert stat.S_IMODE(stack.unix_socket.stat().st_mode) == 0o660
    assert stack.stop() == 0
    assert not stack.unix_socket.exists()


def test_socket_that_a_killed_server_left_is_replaced(stack: Stack) -> None:
    """Nobody has to tidy up before the next start."""
    stack.kill()
    assert stack.unix_socket.exists()
    stack.start()
    assert stack.call("GET", "/healthz/ready").status == 200


def test_dead_worker_is_replaced(stack: Stack) -> None:
    """The others serve meanwhile."""
    dead, living = stack.worker_pids()
    stack.kill_worker(dead)
    assert stack.call("GET", "/healthz/ready").status == 200
    stack.wait_until(lambda: "is ready again" in stack.log(), "a new worker serves")
    assert len(stack.worker_pids()) == 2
    assert living in stack.worker_pids()
    assert f"(pid {dead}) died: SIGKILL" in stack.log()


def test_workers_end_with_their_supervisor(stack: Stack) -> None:
    """No orphan goes on with an old socket and old settings."""
    workers = stack.worker_pids()
    stack.kill_supervisor()
    stack.wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers are gone"
    )


def test_second_server_in_the_folder_is_refused(stack: Stack) -> None:
    """Its workers would count limits that others count already."""
    second = Stack(stack.data_dir, port=0, workers=1, settings=stack.settings, keys=stack.keys)
    second.port = 1
    second.begin()
    assert second.process is not None
    assert second.process.wait(60) == 1
