"""Reloads of Nginx and restarts of workers at full load: nothing is lost, refused or billed twice.

Nginx closes idle connections when it reloads. A client that sends at that moment gets no answer:
up to 1.27.3 only a client that asks again is served, later ones leave the connection open for a
while (`keepalive_min_timeout`). Over HTTP/2 the client is told which requests were taken.
"""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.load import Caller
from tests.nginx_server import BINARY, newer_nginx
from tests.population import populate
from tests.redis_server import running_redis
from tests.tls_load import Manners, TlsLoad

RELOADS = 100
ROLLS = 100
BATCH = 2000
CURL_SECONDS = 120
PATH = "/v1/models/housing:predict"

pytestmark = pytest.mark.soak


async def disturb(front: Front, manners: Manners, act: Callable[[], None], *, times: int) -> None:
    """Do something again and again while clients ask; check what they got against the bill."""
    is_over = asyncio.Event()
    callers = populate(front.stack, tenants=1, keys_each=4)
    load = TlsLoad(front.nginx, callers, front.stack.demo["example"])

    async def repeat() -> None:
        try:
            for _ in range(times):
                await asyncio.to_thread(act)
        finally:
            is_over.set()

    log, _ = await asyncio.gather(load.run(is_over.is_set, manners=manners), repeat())
    assert (log.unanswered, dict(log.refused)) == ([], {})
    assert len(log.served) > times
    assert sorted(front.billed(callers[0].tenant_id)) == sorted(log.served)


@pytest.mark.parametrize(
    ("manners", "suite"),
    [
        (Manners(keeps=False), None),
        (Manners(retries=True), None),
        (Manners(), "forky"),
    ],
    ids=["new connections", "kept connections, asking again", "kept connections, newest nginx"],
)
async def test_no_request_is_lost(tmp_path: Path, manners: Manners, suite: str | None) -> None:
    """Every request is answered with 200 and stands on the bill once."""
    binary = BINARY if suite is None else newer_nginx(tmp_path / "newer", suite)
    with running_front(tmp_path, binary=binary, nginx=NO_ADDRESS_LIMITS) as front:
        await disturb(front, manners, front.nginx.reload, times=RELOADS)


async def test_no_request_is_lost_in_rolling_restarts(tmp_path: Path) -> None:
    """Nginx lets go of a worker's connections before the worker does; clients notice nothing."""
    with (
        running_redis(tmp_path) as redis,
        running_front(
            tmp_path, workers=2, settings={"redis_url": redis.url}, nginx=NO_ADDRESS_LIMITS
        ) as front,
    ):
        await disturb(front, Manners(), front.stack.roll, times=ROLLS)


def test_no_request_is_lost_over_http2(tmp_path: Path) -> None:
    """By curl, sixteen requests at once."""
    statuses: Counter[str] = Counter()
    remaining = RELOADS
    with running_front(tmp_path, nginx=NO_ADDRESS_LIMITS) as front:
        callers = populate(front.stack, tenants=1, keys_each=1)
        while remaining:
            done, printed = reload_during_a_batch(front, callers[0], at_most=remaining)
            remaining -= done
            statuses.update(printed)
        assert statuses.keys() == {"2:200"}
        assert len(front.billed(callers[0].tenant_id)) == statuses.total()


def reload_during_a_batch(
    front: Front, caller: Caller, *, at_most: int
) -> tuple[int, Sequence[str]]:
    """Reload as long as curl asks; return how often, and what each request got."""
    done = 0
    with subprocess.Popen(curl(front, caller), stdout=subprocess.PIPE, text=True) as client:
        while done < at_most and client.poll() is None:
            front.nginx.reload()
            done += 1
        printed, _ = client.communicate(timeout=CURL_SECONDS)
    return done, printed.split()


def curl(front: Front, caller: Caller) -> list[str]:
    """Write the command of a batch; the number behind `#` never leaves curl."""
    body = json.dumps(front.stack.demo["example"])
    many = ["--parallel", "--parallel-max", "16", "--http2", "--silent", "--output", "/dev/null"]
    tell = ["--write-out", "%{http_version}:%{http_code}\n"]
    trust = ["--cacert", str(front.nginx.certificates.authority)]
    request = ["--header", f"Authorization: Bearer {caller.api_key}", "--data", body]
    return ["curl", *many, *tell, *trust, *request, f"{front.nginx.url}{PATH}#[1-{BATCH}]"]
