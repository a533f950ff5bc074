"""SIGTERM under load: who was accepted is answered, nobody else is billed, nothing comes twice."""

import asyncio
import signal
from collections.abc import Sequence

import pytest

from tests.ledgers import ledger_ids
from tests.load import Caller, ClientLog, prediction_request, read_reply, run_load
from tests.population import populate
from tests.serving import Server

CONNECTIONS = 16
MORE_THAN_CAN_BE_SERVED = 200_000
ENOUGH = 500
"""Answers that must have been seen before the signal, so that it falls into the load."""

MOST_ATTEMPTS = 100_000


def terminate(server: Server) -> None:
    """Send the signal that an operator's tools send."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)


async def terminate_under_load(server: Server, callers: Sequence[Caller]) -> ClientLog:
    """Send SIGTERM once the load is on; return what the clients saw."""
    log = ClientLog()
    load = asyncio.create_task(
        run_load(
            server.port,
            callers,
            server.demo["example"],
            requests=MORE_THAN_CAN_BE_SERVED,
            connections=CONNECTIONS,
            log=log,
        )
    )
    while len(log.served) < ENOUGH and not load.done():
        await asyncio.wait([load], timeout=0.01)
    terminate(server)
    await load
    return log


def test_accepted_requests_are_answered_and_nobody_else_is_billed(own_server: Server) -> None:
    """The ledger of the closed server holds exactly the answers that clients saw."""
    log = asyncio.run(
        terminate_under_load(own_server, populate(own_server, tenants=2, keys_each=2))
    )
    assert own_server.process is not None
    own_server.process.wait(30)
    assert len(log.served) >= ENOUGH
    assert set(log.refused) <= {503}
    assert ledger_ids(own_server) == sorted(served.request_id for served in log.served)
    assert "Traceback" not in own_server.log()


def test_second_start_ships_nothing_twice(own_server: Server) -> None:
    """Two ends and two starts under load leave one row for each answer."""
    callers = populate(own_server, tenants=1, keys_each=2)
    served: list[str] = []
    for _ in range(2):
        log = asyncio.run(terminate_under_load(own_server, callers))
        served += [item.request_id for item in log.served]
        own_server.stop()
        own_server.start()
    answer = own_server.call("GET", "/v1/usage", key=own_server.demo["billing_key"])
    assert sum(item["requests"] for item in answer.body["data"]) == len(served)
    assert ledger_ids(own_server) == sorted(served)


async def finish_after_signal(server: Server, caller: Caller) -> int:
    """Begin a request, have the server told to stop, and only then send the rest of the body."""
    request = prediction_request(caller, server.demo["example"], rows=3)
    head, _, body = request.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
    terminate(server)
    await refused_connection(server.port)
    writer.write(body)
    reply = await read_reply(reader)
    assert await reader.read() == b""
    writer.close()
    return reply.status


async def refused_connection(port: int) -> None:
    """Try to connect until the server takes no more connections."""
    for _ in range(MOST_ATTEMPTS):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except (ConnectionRefusedError, ConnectionResetError):
            return
        writer.close()
    raise AssertionError("the server goes on taking connections")


def test_request_that_was_begun_is_finished_after_the_signal(own_server: Server) -> None:
    """Its body comes after the server has stopped listening; it is answered and billed."""
    caller = populate(own_server, tenants=1, keys_each=1)[0]
    assert asyncio.run(finish_after_signal(own_server, caller)) == 200
    own_server.stop()
    assert len(ledger_ids(own_server)) == 1


@pytest.mark.soak
def test_client_that_never_finishes_does_not_hold_the_end_up(own_server: Server) -> None:
    """The grace ends, the process too, and it says why."""
    caller = populate(own_server, tenants=1, keys_each=1)[0]
    asyncio.run(begin_and_stall(own_server, caller))
    assert ledger_ids(own_server) == []


async def begin_and_stall(server: Server, caller: Caller) -> None:
    """Send half a request and keep the connection while the server is told to stop."""
    request = prediction_request(caller, server.demo["example"])
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request[:-10])
    await writer.drain()
    terminate(server)
    await asyncio.to_thread(server.stop)
    writer.close()
