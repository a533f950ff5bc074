"""The demo is made once, found again, and made anew where it no longer works."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from auth.tenants import PLATFORM_TENANT_ID
from gateway.cli.demo import curl_line
from gateway.cli.demo_tenant import DemoDocument, prepare_demo, write_demo
from gateway.cli.migrate import bring_up_to_date
from gateway.errors import StartRefused
from gateway.settings import Settings
from tests.actors import TESTER
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.routes.control_plane import ControlPlane, open_control_plane
from tests.unit.gateway.routes.doubling import write_doubling_model

URL = "http://127.0.0.1:8000"


@pytest.fixture
async def plane(terminal: Terminal) -> AsyncIterator[ControlPlane]:
    """A running app on the data folder of the terminal."""
    settings = Settings(
        data_dir=Path(terminal.settings["TOLLGATE_DATA_DIR"]),
        model_repository=Path(terminal.settings["TOLLGATE_MODEL_REPOSITORY"]),
    )
    await bring_up_to_date(settings)
    async with open_control_plane(settings) as control_plane:
        yield control_plane


@pytest.fixture
async def document(plane: ControlPlane, path: Path) -> DemoDocument:
    """The demo of a first start, written down."""
    made = await prepare_demo(plane.services, url=URL, path=path)
    write_demo(path, made)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the demo is written down."""
    return tmp_path / "demo.json"


async def _status(client: httpx.AsyncClient, path: str, key: str) -> int:
    return (await client.get(path, headers={"Authorization": f"Bearer {key}"})).status_code


async def test_printed_request_is_answered(plane: ControlPlane, document: DemoDocument) -> None:
    """The words of the curl line, sent as curl would, get a prediction."""
    words = shlex.split(curl_line(document))
    url = words[words.index("-sS") + 1]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    answer = await plane.client.post(url.removeprefix(URL), headers=headers, content=body)
    assert answer.json() == {"predictions": [[42.0]]}


async def test_keys_are_for_what_they_are_called(
    plane: ControlPlane, document: DemoDocument
) -> None:
    """The customer manages nothing, billing reads the bill, the admin everything."""
    keys = (document.api_key, document.billing_key, document.admin_key)
    usage = [await _status(plane.client, "/v1/usage?group_by=tenant", key) for key in keys]
    plans = [await _status(plane.client, "/v1/plans", key) for key in keys]
    assert usage == [403, 200, 200]
    assert plans == [403, 403, 200]


def test_file_is_for_its_owner_only(document: DemoDocument, path: Path) -> None:
    """It holds an admin's key."""
    assert path.stat().st_mode & 0o777 == 0o600
    assert document.admin_key in path.read_text()
    assert [item.name for item in path.parent.glob(".demo*")] == []


async def test_second_start_uses_the_same_keys(
    plane: ControlPlane, document: DemoDocument, path: Path
) -> None:
    """Only the address may change."""
    again = await prepare_demo(plane.services, url="http://127.0.0.1:9000", path=path)
    assert again == document.model_copy(update={"url": "http://127.0.0.1:9000"})


async def test_revoked_demo_key_is_replaced(
    plane: ControlPlane, document: DemoDocument, path: Path
) -> None:
    """A demo that prints a request which fails would be no demo."""
    for key in await plane.services.store.list_keys(PLATFORM_TENANT_ID, after=None, limit=100):
        await plane.services.store.revoke_key(PLATFORM_TENANT_ID, key.key_id, actor=TESTER)
    again = await prepare_demo(plane.services, url=URL, path=path)
    assert again.admin_key != document.admin_key
    assert await _status(plane.client, "/v1/plans", again.admin_key) == 200


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tenant_id": "ten_1"}', "\x00"])
async def test_broken_file_is_replaced(plane: ControlPlane, path: Path, content: str) -> None:
    """Whatever stands there, a start does not fail on it."""
    await asyncio.to_thread(path.write_text, content)
    made = await prepare_demo(plane.services, url=URL, path=path)
    assert await _status(plane.client, "/v1/models", made.api_key) == 200


async def test_repository_without_a_model_is_refused(tmp_path: Path, path: Path) -> None:
    """There would be nothing to paste."""
    models = tmp_path / "no-models"
    await asyncio.to_thread(models.mkdir)
    settings = Settings(data_dir=tmp_path / "var", model_repository=models)
    await bring_up_to_date(settings)
    async with open_control_plane(settings) as plane:
        with pytest.raises(StartRefused, match="example"):
            await prepare_demo(plane.services, url=URL, path=path)


async def test_model_with_named_features_goes_first(tmp_path: Path, path: Path) -> None:
    """What the graph alone suggests says nothing to a newcomer."""
    write_doubling_model(tmp_path / "two" / "a-plain-graph", manifest="")
    write_doubling_model(tmp_path / "two" / "with-an-example")
    settings = Settings(data_dir=tmp_path / "var", model_repository=tmp_path / "two")
    await bring_up_to_date(settings)
    async with open_control_plane(settings) as plane:
        made = await prepare_demo(plane.services, url=URL, path=path)
    assert made.model == "with-an-example"


async def test_key_revoked_by_the_command_fails_from_the_next_request_on(
    plane: ControlPlane, terminal: Terminal
) -> None:
    """The running server is told by the shared counter, without a message or a restart."""
    customer = plane.customer
    assert (await customer.get("/v1/models")).status_code == 200
    revoked = await asyncio.to_thread(
        terminal.run, "keys", "revoke", customer.tenant_id, customer.key_id
    )
    assert revoked.status == 0
    assert (await customer.get("/v1/models")).status_code == 401


async def test_bill_of_the_command_is_the_bill_of_the_server(
    plane: ControlPlane, terminal: Terminal
) -> None:
    """Both read the same ledger and answer in the same form."""
    body = {"instances": [{"amount": 1}] * 3}
    assert (await plane.customer.post("/v1/models/double:predict", body)).status_code == 200
    served = (await plane.admin.get("/v1/usage", group_by="tenant,model")).json()
    printed = await asyncio.to_thread(terminal.run, "usage", "--group-by", "tenant,model", "--json")
    assert printed.document["data"] == served["data"]
    assert [line["units"] for line in served["data"]] == [3]
