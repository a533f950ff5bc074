"""One id names a request in its answer, in errors and on the bill."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.cli.migrate import bring_up_to_date
from gateway.settings import Settings
from tests.unit.gateway.routes.control_plane import ControlPlane, open_control_plane

GIVEN = "0123456789abcdef0123456789abcdef"
HEADER = {"X-Request-ID": GIVEN}
PREDICT = "/v1/models/double:predict"
BODY = {"instances": [{"amount": 21.0}]}
REQUESTS = [
    ("POST", PREDICT, BODY, 200),
    ("POST", PREDICT, {}, 400),
    ("POST", "/v1/models/nothing:predict", BODY, 404),
    ("GET", "/v1/models", None, 200),
    ("GET", "/v1/nothing", None, 404),
    ("GET", "/v1/..%2fmodels", None, 404),
    ("GET", "/v1/usage?x=1", None, 422),
]


@pytest.fixture
async def proxied(settings: Settings, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """The same app behind the trusted proxy."""
    behind = settings.model_copy(update={"unix_socket": tmp_path / "socket"})
    await bring_up_to_date(behind)
    async with open_control_plane(behind) as control_plane:
        yield control_plane


async def billed(plane: ControlPlane) -> list[str]:
    """Deliver the journal, and list the ids on the bill."""
    await plane.services.shipper.ship()
    async with plane.services.engine.connect() as connection:
        return list(await connection.scalars(text("SELECT request_id FROM usage_records")))


async def ask(plane: ControlPlane, method: str, path: str, *, body: object) -> tuple[int, str, str]:
    """Send a request with an id of the sender's; return status and the ids in header and body."""
    headers = HEADER | {"Authorization": f"Bearer {plane.customer.api_key}"}
    answer = await plane.client.request(method, path, headers=headers, json=body)
    header = answer.headers["x-request-id"]
    return answer.status_code, header, answer.json().get("request_id", header)


@pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)
async def test_id_of_the_proxy_is_returned(
    *, proxied: ControlPlane, method: str, path: str, body: object, status: int
) -> None:
    """In answers of both planes and in errors, header and body."""
    assert await ask(proxied, method, path, body=body) == (status, GIVEN, GIVEN)


@pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)
async def test_id_of_a_direct_caller_is_not(
    *, plane: ControlPlane, method: str, path: str, body: object, status: int
) -> None:
    """Without the proxy's socket the header means nothing."""
    answered, header, in_body = await ask(plane, method, path, body=body)
    assert answered == status
    assert header == in_body != GIVEN


async def test_id_of_the_proxy_is_on_the_bill(proxied: ControlPlane) -> None:
    """The proxy's log and the bill can be laid side by side."""
    await ask(proxied, "POST", PREDICT, body=BODY)
    assert await billed(proxied) == [GIVEN]


async def test_id_that_a_proxy_repeats_is_billed_once_and_told(
    proxied: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is billed twice, and what is not billed is counted and in the log to its last field.

    Neither in one delivery nor in two, and not for another customer either.
    """
    await ask(proxied, "POST", PREDICT, body=BODY)
    await ask(proxied, "POST", PREDICT, body=BODY)
    assert await billed(proxied) == [GIVEN]
    headers = HEADER | {"Authorization": f"Bearer {proxied.stranger.api_key}"}
    await proxied.client.post(PREDICT, headers=headers, json=BODY)
    assert await billed(proxied) == [GIVEN]
    assert proxied.services.shipper.conflicts == 2
    assert proxied.stranger.key_id in caplog.messages[-1]
