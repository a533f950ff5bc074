"""Forged access tokens against a running server: none accepted, no failure, one answer.

Source: RFC 8725, RFC 9068 section 4, and what is known to have gone wrong in other verifiers.
"""

import asyncio
import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.settings import Settings
from tests.forgeries import FORGERIES
from tests.forgeries.forge import Forge
from tests.forgeries.mutations import mutations
from tests.serving import Server
from tests.tokens import open_office, set_up_forge
from tests.wire import send_raw

PREDICT = "POST /v1/models/housing:predict HTTP/1.1"
CONTROL = "GET /v1/models HTTP/1.1"
MUTATIONS = 2000


@pytest.fixture(scope="module")
def forge(server: Server) -> Forge:
    """Make a forger with the keys and the records of the running server."""
    settings = Settings(data_dir=server.data_dir, port=server.port)

    async def set_up() -> Forge:
        async with open_office(settings) as office:
            return await set_up_forge(office, datetime.now(UTC))

    return asyncio.run(set_up())


def request(server: Server, line: str, token: str) -> bytes:
    """Write a request that carries the token as a bearer; it is the last one of its connection."""
    body = json.dumps(server.demo["example"]).encode() if line is PREDICT else b""
    head = f"{line}\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    try:
        credential = token.encode("latin-1")
    except UnicodeEncodeError:
        credential = token.encode()
    return head.encode() + b"Authorization: Bearer " + credential + b"\r\n\r\n" + body


def ask(server: Server, line: str, token: str) -> tuple[int, dict[str, Any]]:
    """Send a token through a door and return the status and the body."""
    head, _, body = send_raw(server.port, request(server, line, token)).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def is_sendable(token: str) -> bool:
    """Tell whether a header can carry the text; where it cannot, HTTP's parser answers."""
    return not any(character < " " or character == "\x7f" for character in token)


def refusal(server: Server, line: str) -> dict[str, Any]:
    """Return what garbage is told, but for the request id."""
    status, body = ask(server, line, "garbage")
    assert status == 401
    return body | {"request_id": ""}


@pytest.mark.parametrize("line", [PREDICT, CONTROL], ids=["prediction", "control plane"])
def test_what_the_forgeries_are_made_of_is_good(server: Server, forge: Forge, line: str) -> None:
    """The forger's valid token is served; whatever is refused is refused for its own fault."""
    status, body = ask(server, line, forge.valid)
    assert status == 200, body


@pytest.mark.parametrize("line", [PREDICT, CONTROL], ids=["prediction", "control plane"])
@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_is_refused_like_garbage(
    *, server: Server, forge: Forge, line: str, name: str
) -> None:
    """A forged token is told what garbage is told, and nothing more."""
    token = FORGERIES[name](forge)
    status, body = ask(server, line, token)
    if is_sendable(token):
        assert (status, body | {"request_id": ""}) == (401, refusal(server, line))
    else:
        assert status in (400, 401)


def test_mutations_of_a_good_token_are_refused(server: Server, forge: Forge) -> None:
    """Two thousand random changes of a good token get one answer, which is no error of ours."""
    valid = forge.valid
    answers = set()
    for mutant in mutations(valid, random.Random(9068), MUTATIONS):  # noqa: S311 - repeatable
        if is_sendable(mutant) and mutant.strip(" ") != valid:
            answers.add(ask(server, CONTROL, mutant)[0])
    assert answers == {401}


def test_server_told_nobody_why(server: Server, forge: Forge) -> None:
    """Above debug the log does not hold the reasons, and at no level the tokens."""
    ask(server, CONTROL, FORGERIES["aud of another"](forge))
    told = [line for line in server.log().splitlines() if "another audience" in line]
    assert told
    assert all('"level":"debug"' in line for line in told)
    assert forge.valid.split(".")[1] not in server.log()
