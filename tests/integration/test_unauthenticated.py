"""Callers without a good credential, over real HTTP, and beside a Redis that hangs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, running_redis
from tests.serving import Server, free_port

FAILURES, PAGES = 5, 10
GARBAGE = "tg_live_" + "0" * 60


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis for the limits."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    """Run a server with limits that a test can reach, and the callers' limits in Redis."""
    settings = {
        "TOLLGATE_FAILED_ATTEMPTS_PER_MINUTE": str(FAILURES),
        "TOLLGATE_PUBLIC_REQUESTS_PER_MINUTE": str(PAGES),
        "TOLLGATE_REDIS_URL": redis_server.url,
    }
    running = Server(tmp_path, free_port(), settings)
    running.start()
    yield running
    running.stop()


def test_guesser_is_refused_and_its_neighbour_served(server: Server) -> None:
    """One address, a bad key and a good one: only the bad one is ever limited."""
    example, key = server.demo["example"], server.demo["api_key"]
    forged = [server.call("GET", "/v1/usage", key=GARBAGE).status for _ in range(FAILURES)]
    assert forged == [401] * FAILURES
    spoofed = {"X-Forwarded-For": "198.51.100.1"}
    for headers in ({}, spoofed):
        answer = server.call("GET", "/v1/usage", key=GARBAGE, headers=headers)
        assert (answer.status, answer.body["code"]) == (429, "address_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert server.predict(GARBAGE, example).status == 429
    assert server.predict(key, example).status == 200
    assert server.log().count("failed to authenticate") == 1


def test_public_pages_never_ask_redis(server: Server, redis_server: RedisServer) -> None:
    """While Redis hangs the pages are answered and limited, and nothing of theirs is in it."""
    redis_server.hang()
    try:
        statuses = [server.call("GET", "/docs").status for _ in range(PAGES + 1)]
    finally:
        redis_server.resume()
    assert statuses == [200] * PAGES + [429]
    assert not [name for name in redis_server.ask("KEYS", "*") if b"LIMITER" in name]
