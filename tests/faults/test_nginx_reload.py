"""A hundred reloads of Nginx at full load: no prediction is refused or lost, and none billed twice.

Nginx closes idle connections when it reloads. A client that sends at that moment gets no answer:
up to 1.27.3 only a client that asks again is served, later ones leave the connection open for a
while (`keepalive_min_timeout`). Over HTTP/2 the client is told which requests were taken.
"""

import asyncio
import json
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.load import Caller
from tests.nginx_server import BINARY, newer_nginx
from tests.population import populate
from tests.tls_load import Manners, TlsLoad, TlsLog

RELOADS = 100
TENANTS = 2
BATCH = 2000
CURL_SECONDS = 120
PATH = "/v1/models/housing:predict"

pytestmark = pytest.mark.soak


async def reload_under_load(front: Front, callers: Sequence[Caller], manners: Manners) -> TlsLog:
    """Reload while clients ask, and stop when all is done."""
    is_over = asyncio.Event()
    load = TlsLoad(front.nginx, callers, front.stack.demo["example"])

    async def reload() -> None:
        try:
            for _ in range(RELOADS):
                await asyncio.to_thread(front.nginx.reload)
        finally:
            is_over.set()

    log, _ = await asyncio.gather(load.run(is_over.is_set, manners=manners), reload())
    return log


def billed(front: Front, callers: Sequence[Caller]) -> list[str]:
    """List the ids of all requests that are on the bill."""
    for caller in callers:
        path = f"/v1/usage?tenant_id={caller.tenant_id}"
        assert front.stack.call("GET", path, key=front.stack.demo["billing_key"]).status == 200
    with sqlite3.connect(front.stack.data_dir / "tollgate.db") as database:
        return [str(row[0]) for row in database.execute("SELECT request_id FROM usage_records")]


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
        callers = populate(front.stack, tenants=TENANTS, keys_each=4)
        log = await reload_under_load(front, callers, manners)
        assert (log.unanswered, dict(log.refused)) == ([], {})
        assert len(log.served) > RELOADS
        assert sorted(billed(front, callers)) == sorted(log.served)


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
        assert len(billed(front, callers)) == statuses.total()


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
