"""A server of several workers: one socket, one announcement, one end."""

import http.client
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_revocation_under_load import make_callers, revoke_under_load
from tests.redis_server import running_redis
from tests.serving import free_port
from tests.stack import Stack, running_stack
from tests.unit.gateway.cli.terminal import Terminal


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


def test_first_token_is_not_in_the_log(tmp_path: Path) -> None:
    """A new installation without any credential tells no file how to get in."""
    stack = Stack(tmp_path, workers=1, keys={"admin_key": "none"})
    environment = {"TOLLGATE_DATA_DIR": str(tmp_path)}
    assert Terminal(environment).run("migrate", "--no-token").status == 0
    stack.start()
    assert stack.stop() == 0
    assert "tg_boot_" not in stack.log()
    assert "tg_boot_" in Terminal(environment).run("admin", "bootstrap").err


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


def test_new_worker_that_cannot_start_leaves_the_old_ones(stack: Stack) -> None:
    """A mistake in the settings is told, and costs nobody an answer."""
    before = stack.worker_pids()
    news = stack.news()
    (stack.data_dir / "key_pepper").rename(stack.data_dir / "key_pepper.away")
    stack.reload()
    stack.wait_until(lambda: news.tell("rolling restart stops"), "the restart is given up")
    assert news.tell("TOLLGATE_KEY_PEPPER")
    assert stack.call("GET", "/healthz/ready").status == 200
    assert stack.worker_pids() == before


def is_last(connection: http.client.HTTPConnection) -> bool:
    """Ask whether the server is ready, on a kept connection; say whether it will be closed."""
    connection.request("GET", "/healthz/ready")
    with connection.getresponse() as response:
        document = json.loads(response.read())
        is_closed = response.getheader("connection") == "close"
    assert response.status == (503 if is_closed else 200)
    assert document["reasons"] == (["this worker is ending"] if is_closed else [])
    return is_closed


def test_kept_connection_is_served_while_its_worker_drains(stack: Stack) -> None:
    """A request that a proxy sends at that moment is not lost; its answer is the last one."""
    connection = stack.connect()
    assert not is_last(connection)
    stack.reload()
    stack.wait_until(lambda: is_last(connection), "the worker of this connection drains")
    connection.close()


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Stack]:
    """Four workers on a port, with a Redis of their own."""
    with running_redis(tmp_path) as redis:
        settings = {"TOLLGATE_REDIS_URL": redis.url}
        running = Stack(tmp_path, port=free_port(), workers=4, settings=settings)
        running.start()
        yield running
        running.stop()


def test_no_acceptance_starts_after_a_revocation_on_any_worker(four: Stack) -> None:
    """They learn of it by the counter that they share."""
    revoke_under_load(four, make_callers(four, 40))
