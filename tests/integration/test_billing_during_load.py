"""A billing script that reads while predictions are served sees what lies behind it stay as it is.

Everything before `complete_through` is final, however late a record comes.
"""

import asyncio
from typing import Any
from urllib.parse import quote

from tests.load import ClientLog, run_load
from tests.population import populate
from tests.serving import Server

REQUESTS = 6000
CONNECTIONS = 16
START = "2020-01-01"


def bill(server: Server, *, until: str) -> dict[str, Any]:
    """Read everybody's bill up to a moment."""
    path = f"/v1/usage?from={START}&to={quote(until)}&bucket=month&group_by=tenant,key"
    answer = server.call("GET", path, key=server.demo["billing_key"])
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.body
    return body


async def read_during_load(server: Server, log: ClientLog) -> list[tuple[str, Any]]:
    """Run a load; meanwhile read again and again up to the last `complete_through`."""
    callers = await asyncio.to_thread(populate, server, tenants=3, keys_each=2)
    load = asyncio.create_task(
        run_load(
            server.port,
            callers,
            server.demo["example"],
            requests=REQUESTS,
            connections=CONNECTIONS,
            log=log,
        )
    )
    readings: list[tuple[str, Any]] = []
    until = (await asyncio.to_thread(bill, server, until="2100-01-01"))["complete_through"]
    while not load.done():
        reading = await asyncio.to_thread(bill, server, until=until)
        readings.append((until, reading["data"]))
        until = reading["complete_through"]
    await load
    return readings


def test_what_was_complete_reads_the_same_for_ever(server: Server) -> None:
    """Every reading that was taken during the load is the same after it, and the sum is exact."""
    log = ClientLog()
    readings = asyncio.run(read_during_load(server, log))
    assert len(readings) > 3
    for until, data in readings:
        assert bill(server, until=until)["data"] == data
    total = bill(server, until="2100-01-01")["data"]
    assert sum(item["requests"] for item in total) == len(log.served) == REQUESTS
    assert sum(item["units"] for item in total) == sum(served.rows for served in log.served)
