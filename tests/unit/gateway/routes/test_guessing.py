"""Who guesses passwords is stopped before any work, and shuts nobody out."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.app import create_app
from gateway.cli.migrate import bring_up_to_date
from gateway.services import Services
from gateway.settings import Settings
from tests.actors import TESTER
from tests.unit.auth.cheap_passwords import cheap_hasher
from tests.unit.gateway.routes.control_plane import running_app

PER_ADDRESS, PER_ACCOUNT = 4, 3
PASSWORD = "plum kettle on the roof"


class Town:
    """The app behind its proxy, asked from anywhere."""

    def __init__(self, client: httpx.AsyncClient, services: Services) -> None:
        self.client = client
        self.services = services

    async def make(self, username: str) -> None:
        """Make an admin."""
        await self.services.store.create_admin(
            actor=TESTER,
            username=username,
            password_hash=cheap_hasher().hash(PASSWORD),
            scopes=["tenants:read"],
        )

    async def log_in(
        self, username: str, password: str = PASSWORD, *, address: str, device: str | None = None
    ) -> httpx.Response:
        """Try a password."""
        body = {"username": username, "password": password, "device_token": device}
        headers = {"X-Forwarded-For": address}
        return await self.client.post("/v1/sessions", json=body, headers=headers)

    async def guess(
        self, username: str, count: int, *, address: str = "", device: str | None = None
    ) -> list[int]:
        """Try wrong passwords, each from an address of its own if none is named."""
        answers = [
            await self.log_in(
                username, f"wrong {n}", address=address or f"198.51.100.{n}", device=device
            )
            for n in range(count)
        ]
        return [answer.status_code for answer in answers]


@pytest.fixture
async def town(settings: Settings) -> AsyncIterator[Town]:
    """A server on a unix socket with limits that a test can reach."""
    low = {"log_ins_per_minute": PER_ADDRESS, "failed_log_ins_per_hour": PER_ACCOUNT}
    socket = {"unix_socket": settings.data_dir / "socket"}
    settings = settings.model_copy(update=low | socket)
    await bring_up_to_date(settings)
    async with running_app(create_app(settings)) as (app, services):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
            yield Town(client, services)


@pytest.fixture
def database_url() -> str:
    """SQLite alone: nothing here is about the records."""
    return ""


@pytest.mark.parametrize("username", ["ada", "nobody"])
async def test_account_is_guessed_so_often_from_everywhere(town: Town, username: str) -> None:
    """Whether it exists or not, and the right password is refused then as well."""
    await town.make("ada")
    assert await town.guess(username, 5) == [401] * PER_ACCOUNT + [429] * 2
    refused = await town.log_in(username, address="203.0.113.9")
    assert (refused.status_code, refused.json()["code"]) == (429, "log_in_limited")
    assert 3000 < int(refused.headers["retry-after"]) <= 3600


async def test_address_is_limited_over_all_accounts(town: Town) -> None:
    """One who tries one password for everybody."""
    answers = [
        (await town.log_in(f"user{number}", address="198.51.100.1")).status_code
        for number in range(PER_ADDRESS + 1)
    ]
    assert answers == [401] * PER_ADDRESS + [429]
    other = await town.log_in("user9", address="198.51.100.2")
    assert other.status_code == 401


async def test_owner_logs_in_from_a_known_device(town: Town) -> None:
    """Although account and address are used up by others."""
    await town.make("ada")
    first = await town.log_in("ada", address="203.0.113.9")
    device = first.json()["device_token"]
    await town.guess("ada", PER_ACCOUNT, address="203.0.113.9")
    await town.guess("user", PER_ADDRESS, address="203.0.113.9")
    assert (await town.log_in("ada", address="203.0.113.9")).status_code == 429
    known = await town.log_in("ada", address="203.0.113.9", device=device)
    assert known.status_code == 201


async def test_known_device_has_guesses_of_its_own_and_no_more(town: Town) -> None:
    """A stolen token is worth as many, and they are not the owner's."""
    await town.make("ada")
    stolen = (await town.log_in("ada", address="203.0.113.9")).json()["device_token"]
    other = (await town.log_in("ada", address="203.0.113.9")).json()["device_token"]
    as_known = await town.guess("ada", PER_ACCOUNT, device=stolen)
    as_stranger = await town.guess("ada", PER_ACCOUNT + 1, device=stolen)
    assert as_known + as_stranger == [401] * 2 * PER_ACCOUNT + [429]
    assert (await town.log_in("ada", address="203.0.113.9", device=other)).status_code == 201


async def test_device_of_one_account_is_a_stranger_to_another(town: Town) -> None:
    """An admin does not guess a colleague's password with what it was given."""
    await town.make("ada")
    await town.make("eve")
    device = (await town.log_in("eve", address="203.0.113.9")).json()["device_token"]
    answers = await town.guess("ada", PER_ACCOUNT + 1, device=device)
    assert answers == [401] * PER_ACCOUNT + [429]


async def test_right_passwords_use_nothing_up(town: Town) -> None:
    """Who logs in often from known devices is never limited."""
    await town.make("ada")
    device = (await town.log_in("ada", address="203.0.113.9")).json()["device_token"]
    answers = [
        (await town.log_in("ada", address="203.0.113.9", device=device)).status_code
        for _ in range(2 * PER_ADDRESS)
    ]
    assert answers == [201] * 2 * PER_ADDRESS


async def test_writing_a_name_otherwise_is_no_new_account(town: Town) -> None:
    """Upper case counts as lower case."""
    await town.make("ada")
    answers = [
        (await town.log_in(name, "wrong", address=f"198.51.100.{number}")).status_code
        for number, name in enumerate(["ada", "ADA", "Ada", "aDa"])
    ]
    assert answers == [401] * PER_ACCOUNT + [429]
