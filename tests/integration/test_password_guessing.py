"""Passwords are guessed from one address and from many, and the owner still gets in.

The small versions run with every test; `make soak` sends 100,000 guesses each.
"""

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guesser import Guesses, addresses_of, guess, log_in_request
from tests.load import Address, Reply, open_streams, read_reply
from tests.population import make_admin
from tests.serving import Server
from tests.stack import Stack, running_stack
from tests.unit.gateway.cli.terminal import Terminal

PASSWORD = "plum kettle on the roof"
PER_HOUR, PER_MINUTE = 20, 10
FEW, MANY = 2_000, 100_000
SOME_ADDRESSES, MANY_ADDRESSES = 100, 1_000
_NAMES = (f"ada-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a server behind a proxy that tests pretend to be, with the limits that it comes with."""
    folder = tmp_path_factory.mktemp("guessing")
    with running_stack(folder, workers=1, password_memory_kibibytes="12288") as running:
        yield running


async def log_in(
    server: Address, username: str, password: str = PASSWORD, *, address: str = "", device: str = ""
) -> Reply:
    """Log in on a connection of one's own."""
    reader, writer = await open_streams(server)
    writer.write(log_in_request(username, password, address=address, device=device))
    reply = await read_reply(reader)
    writer.close()
    return reply


def device_of(reply: Reply) -> str:
    """Read what the device is known by from now on."""
    found = re.search(rb'"device_token":"([^"]+)"', reply.body)
    assert found is not None, reply.body
    return found[1].decode()


async def besiege(stack: Stack, addresses: list[str], attempts: int) -> tuple[str, Guesses]:
    """Guess at an account whose owner logs in meanwhile, from an address that guesses."""
    username = next(_NAMES)
    make_admin(stack, username, PASSWORD)
    server = stack.address
    device = device_of(await log_in(server, username, address="192.0.2.1"))
    guesses = Guesses()
    siege = asyncio.create_task(
        guess(server, usernames=[username], addresses=addresses, attempts=attempts, guesses=guesses)
    )
    inside = []
    while not siege.done():
        inside.append(await log_in(server, username, address=addresses[0], device=device))
        await asyncio.wait([siege], timeout=1.0)
    await siege
    assert {reply.status for reply in inside} == {201}
    assert guesses.statuses.total() == attempts
    assert set(guesses.statuses) <= {401, 429, 503}
    return username, guesses


async def check_siege(stack: Stack, addresses: list[str], attempts: int) -> None:
    """Besiege an account, and hold what was let through against what is declared."""
    username, guesses = await besiege(stack, addresses, attempts)
    per_address = PER_MINUTE * len(addresses) * guesses.windows
    assert guesses.looked_at <= min(PER_HOUR, per_address)
    print(f"{attempts} guesses from {len(addresses)}: {dict(guesses.statuses)}")  # noqa: T201 - a report
    shell = Terminal({"TOLLGATE_DATA_DIR": str(stack.data_dir)})
    device = shell.run_apart("admin", "device", username).out.strip()
    back = await log_in(stack.address, username, address=addresses[0], device=device)
    assert back.status == 201


async def test_guesses_of_one_address_are_bounded(stack: Stack) -> None:
    """Ten in a minute, while the owner comes and goes at the same address."""
    await check_siege(stack, addresses_of(1, network="10.1"), FEW)


async def test_guesses_of_many_addresses_are_bounded(stack: Stack) -> None:
    """Twenty in an hour, however many they are."""
    await check_siege(stack, addresses_of(SOME_ADDRESSES, network="10.2"), FEW)


@pytest.mark.soak
async def test_a_hundred_thousand_guesses_of_one_address(stack: Stack) -> None:
    """The bound does not wear out."""
    await check_siege(stack, addresses_of(1, network="10.3"), MANY)


@pytest.mark.soak
async def test_a_hundred_thousand_guesses_of_a_thousand_addresses(stack: Stack) -> None:
    """Nor over many addresses."""
    await check_siege(stack, addresses_of(MANY_ADDRESSES, network="10.4"), MANY)


async def test_invented_names_are_bounded_like_real_ones(stack: Stack) -> None:
    """So that the limit tells nobody which are which."""
    nobody = next(_NAMES)
    addresses = addresses_of(SOME_ADDRESSES, network="10.5")
    guesses = await guess(stack.address, usernames=[nobody], addresses=addresses, attempts=FEW)
    assert 0 < guesses.looked_at <= PER_HOUR


async def test_forged_addresses_are_one_address_on_a_port(server: Server) -> None:
    """What clients say about where they are has no effect without the proxy."""
    guesses = await guess(
        server.port,
        usernames=[f"nobody-{number}" for number in range(200)],
        addresses=addresses_of(200, network="10.6"),
        attempts=200,
    )
    assert guesses.looked_at <= PER_MINUTE * guesses.windows
    assert set(guesses.statuses) <= {401, 429, 503}


async def test_unknown_name_and_wrong_password_are_answered_alike(stack: Stack) -> None:
    """Byte for byte, headers included, but for the request id and the time of day."""
    username = next(_NAMES)
    make_admin(stack, username, PASSWORD)
    answers = []
    for name in (username, "nobody-at-all"):
        reply = await log_in(stack.address, name, "wrong password", address="192.0.2.2")
        body = re.sub(rb'"request_id":"[^"]*"', b"", reply.body)
        volatile = ("x-request-id", "date")
        headers = [(key, value) for key, value in reply.headers.items() if key not in volatile]
        answers.append((reply.status, headers, body))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


@pytest.mark.soak
async def test_unknown_name_takes_as_long_as_a_wrong_password(tmp_path: Path) -> None:
    """Report the difference of pairs, one of each in turn; how sure it is stands beside it."""
    settings = {"failed_log_ins_per_hour": "100", "log_ins_per_minute": "1000000"}
    differences = []
    with running_stack(tmp_path, workers=1, **settings) as stack:
        names = [next(_NAMES) for _ in range(4)]
        for name in names:
            make_admin(stack, name, PASSWORD)
        for number, name in enumerate(names * 50):
            pair = [name, f"nobody-{number}"]
            taken = {one: await _seconds(stack, one) for one in (pair, pair[::-1])[number % 2]}
            differences.append(1000 * (taken[pair[1]] - taken[name]))
    mean = statistics.fmean(differences)
    margin = 1.96 * statistics.stdev(differences) / len(differences) ** 0.5
    print(  # noqa: T201 - a report
        f"unknown minus wrong: {mean:.2f} ms, 95 % interval {mean - margin:.2f} to "
        f"{mean + margin:.2f} ms, median {statistics.median(differences):.2f} ms, "
        f"{len(differences)} pairs"
    )
    assert len(differences) == 200


async def _seconds(stack: Stack, username: str) -> float:
    began = time.perf_counter()
    reply = await log_in(stack.address, username, "wrong password", address="192.0.2.3")
    assert reply.status == 401
    return time.perf_counter() - began
