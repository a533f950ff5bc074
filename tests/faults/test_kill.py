"""A server that is killed at any moment owes nobody: I1, I3 and I5 of the usage invariants."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.ledgers import Row, ledger_rows
from tests.load import Caller, ClientLog, run_load
from tests.population import populate
from tests.serving import Server

CONNECTIONS = 16
LOAD_PER_ROUND = 20_000
SEED = 20261121


def check(log: ClientLog, rows: Sequence[Row], *, lost_before: int) -> int:
    """Compare the clients' log with the ledger; return the rows that no client saw answered."""
    counts = Counter(row.request_id for row in rows)
    assert max(counts.values(), default=1) == 1
    by_id = {row.request_id: row[1:] for row in rows}
    for served in log.served:
        caller = served.caller
        expected = (caller.tenant_id, caller.key_id, "housing", "1", served.rows, served.rows)
        assert by_id.get(served.request_id) == expected
    unseen = len(rows) - len({served.request_id for served in log.served})
    assert 0 <= unseen - lost_before <= CONNECTIONS
    return unseen


async def kill_under_load(server: Server, callers: list[Caller], after_seconds: float) -> ClientLog:
    """Run a load, kill the server in the middle and return what the clients saw."""
    load = asyncio.create_task(
        run_load(
            server.port,
            callers,
            server.demo["example"],
            requests=LOAD_PER_ROUND,
            connections=CONNECTIONS,
        )
    )
    await asyncio.sleep(after_seconds)
    await asyncio.to_thread(server.kill)
    return await load


def kill_rounds(server: Server, rounds: int) -> None:
    """Kill and restart the server `rounds` times, checking the bill after each restart."""
    callers = populate(server, tenants=10, keys_each=5)
    moments = random.Random(SEED)  # noqa: S311 - moments, not secrets
    total, unseen = ClientLog(), 0
    for _ in range(rounds):
        log = asyncio.run(kill_under_load(server, callers, moments.uniform(0.2, 3.0)))
        assert log.served
        total.served += log.served
        server.start()
        answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
        rows = ledger_rows(server)
        unseen = check(total, rows, lost_before=unseen)
        assert sum(item["requests"] for item in answer.body["data"]) == len(rows)
        assert sum(item["units"] for item in answer.body["data"]) == sum(row.units for row in rows)


def test_killed_server_loses_and_doubles_nothing(own_server: Server) -> None:
    """Every 200 that a client saw is on the bill once after the restart."""
    kill_rounds(own_server, 3)


@pytest.mark.soak
def test_killed_server_loses_and_doubles_nothing_twenty_times(own_server: Server) -> None:
    """The same, twenty kills in a row on the same data."""
    kill_rounds(own_server, 20)
