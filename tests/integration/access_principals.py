"""Everybody who can stand before the gate: two tenants, the platform, and those who are not let in.

Each maker returns what is sent as the bearer credential; nothing at all is the empty text.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from auth.admins import ADMIN_SCOPES, Admin, IssuedSession, SessionTimes
from auth.api_keys import mint, random_base62
from auth.bindings import UNBOUND, Bindings
from auth.bootstrap import issue_new_token
from auth.scopes import (
    ALL_SCOPES,
    KEYS_READ,
    KEYS_WRITE,
    MODELS_READ,
    PREDICT,
    TENANT_SCOPES,
    USAGE_READ,
    USAGE_READ_ALL,
)
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID, IssuedKey
from auth.tokens import IssuedToken, TokenIssuer, TokenRules
from gateway.app import create_app
from gateway.cli.migrate import bring_up_to_date
from gateway.records import Records, open_records
from gateway.services import Services
from gateway.settings import Settings
from tests.actors import TESTER
from tests.unit.auth.cheap_passwords import cheap_hasher
from tests.unit.gateway.routes.control_plane import running_app

SELF_SERVICE: Final = (KEYS_READ, KEYS_WRITE, MODELS_READ, USAGE_READ)
NOWHERE: Final = Bindings(networks=("203.0.113.0/24",))
"""A network that no test asks from."""

USERNAME: Final = "ada"
PASSWORD: Final = "plum kettle on the roof"

_LONG_AGO: Final = timedelta(days=2)


def new_username() -> str:
    """Make a username that nobody has."""
    return f"admin-{random_base62(12).lower()}"


@dataclass(frozen=True)
class World:
    """A running app, and the records behind it with a clock that is two days late."""

    services: Services
    records: Records
    tenant_a: str
    tenant_b: str
    suspended: str
    deleted: str

    @property
    def store(self) -> Store:
        """Return the app's own store."""
        return self.services.store

    @property
    def late_store(self) -> Store:
        """Return a store in which it is the day before yesterday."""
        return Store(
            self.records.engine,
            pepper=self.records.pepper,
            sealer=self.records.sealer,
            generation=self.records.generation,
            now=lambda: datetime.now(UTC) - _LONG_AGO,
        )

    async def key(
        self, tenant_id: str, *scopes: str, bindings: Bindings = UNBOUND, expires: bool = False
    ) -> IssuedKey:
        """Issue a key; one that expires did so yesterday."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        return await (self.late_store if expires else self.store).create_key(
            tenant_id,
            actor=TESTER,
            name="k",
            scopes=scopes,
            expires_at=yesterday if expires else None,
            bindings=bindings,
        )

    async def token(
        self, tenant_id: str, *scopes: str, bindings: Bindings = UNBOUND, expires: bool = False
    ) -> IssuedToken:
        """Make a client and issue it a token; one that expires did so a minute ago."""
        made = await self.store.create_client(
            tenant_id, actor=TESTER, name="c", scopes=scopes, bindings=bindings
        )
        await self.services.keyset.confirm()
        issuer = self._issuer(lifetime_seconds=-60 if expires else 300)
        return issuer.issue(client_id=made.client.client_id, tenant_id=tenant_id, scopes=scopes)

    async def admin(self, username: str = "") -> Admin:
        """Make an admin, and whom nobody else is if it is not named."""
        return await self.store.create_admin(
            actor=TESTER,
            username=username or new_username(),
            password_hash=cheap_hasher().hash(PASSWORD),
            scopes=ADMIN_SCOPES,
        )

    async def log_in(self, *, store: Store | None = None) -> IssuedSession:
        """Log an admin in whom nobody else is."""
        proof = await self.store.get_proof((await self.admin()).admin_id)
        return await (store or self.store).open_session(proof, actor=TESTER, times=SessionTimes())

    def _issuer(self, *, lifetime_seconds: int) -> TokenIssuer:
        settings = self.services.settings
        name = settings.resolved_issuer
        return TokenIssuer(
            self.services.keyset.ring,
            rules=TokenRules(issuer=name, audience=name, lifetime_seconds=lifetime_seconds),
            sealer=self.records.sealer,
            now=lambda: datetime.now(UTC).timestamp(),
        )


Credentials = dict[str, dict[str, str]]
"""What everybody sends, by column and name."""


@contextlib.asynccontextmanager
async def open_world(settings: Settings) -> AsyncIterator[tuple[Any, World, Credentials]]:
    """Run the app, make two tenants and those who are not let in, and everybody's credentials."""
    await bring_up_to_date(settings)
    async with running_app(create_app(settings)) as (app, services), open_records(settings) as own:
        store = services.store
        tenants = [
            await store.create_tenant(actor=TESTER, name=name, plan_id=None, models=["*"])
            for name in ("a", "b", "suspended", "deleted")
        ]
        world = World(services, own, *(tenant.tenant_id for tenant in tenants))
        credentials = {
            column: {name: await make(world) for name, make in makers.items()}
            for column, makers in PRINCIPALS.items()
        }
        await store.update_tenant(world.suspended, actor=TESTER, status="suspended")
        yield app, world, credentials


Maker = Callable[[World], Awaitable[str]]


async def _nobody(_world: World) -> str:
    return ""


async def _malformed(_world: World) -> str:
    return "Zm9vOmJhcg=="


async def _unknown(_world: World) -> str:
    return mint(kind="live").text


async def _wrong_secret(world: World) -> str:
    issued = await world.key(world.tenant_a, *TENANT_SCOPES)
    return mint(kind="live", key_id=issued.key.key_id).text


async def _expired_key(world: World) -> str:
    return (await world.key(world.tenant_a, *TENANT_SCOPES, expires=True)).api_key


async def _revoked_key(world: World) -> str:
    issued = await world.key(PLATFORM_TENANT_ID, *ALL_SCOPES)
    await world.store.revoke_key(PLATFORM_TENANT_ID, issued.key.key_id, actor=TESTER)
    return issued.api_key


async def _rotated_key(world: World) -> str:
    issued = await world.key(PLATFORM_TENANT_ID, *ALL_SCOPES)
    key_id = issued.key.key_id
    await world.store.rotate_key(PLATFORM_TENANT_ID, key_id, actor=TESTER, overlap_seconds=0)
    return issued.api_key


async def _client_secret(world: World) -> str:
    made = await world.store.create_client(
        PLATFORM_TENANT_ID, actor=TESTER, name="c", scopes=ALL_SCOPES
    )
    return made.client_secret or ""


async def _bootstrap_token(world: World) -> str:
    issued = await issue_new_token(world.services.engine, actor=TESTER, now=datetime.now(UTC))
    return issued.token


async def _expired_token(world: World) -> str:
    return (await world.token(world.tenant_a, *TENANT_SCOPES, expires=True)).text


async def _revoked_token(world: World) -> str:
    issued = await world.token(PLATFORM_TENANT_ID, *ALL_SCOPES)
    await world.store.revoke_token(issued.claims, actor=TESTER)
    return issued.text


async def _tokens_client_revoked(world: World) -> str:
    issued = await world.token(PLATFORM_TENANT_ID, *ALL_SCOPES)
    client_id = issued.claims.client_id
    await world.store.revoke_client(PLATFORM_TENANT_ID, client_id, actor=TESTER)
    return issued.text


async def _expired_session(world: World) -> str:
    return (await world.log_in(store=world.late_store)).token


async def _revoked_session(world: World) -> str:
    issued = await world.log_in()
    await world.store.revoke_session(issued.session.session_id, actor=TESTER)
    return issued.token


async def _deleted_tenants_key(world: World) -> str:
    return await _key_before_the_end(world, world.deleted)


async def _key_before_the_end(world: World, tenant_id: str) -> str:
    issued = await world.key(tenant_id, *TENANT_SCOPES)
    await world.store.delete_tenant(tenant_id, actor=TESTER)
    return issued.api_key


def _key_of(tenant: Callable[[World], str], *scopes: str, bindings: Bindings = UNBOUND) -> Maker:
    async def make(world: World) -> str:
        return (await world.key(tenant(world), *scopes, bindings=bindings)).api_key

    return make


def _token_of(tenant: Callable[[World], str], *scopes: str, bindings: Bindings = UNBOUND) -> Maker:
    async def make(world: World) -> str:
        return (await world.token(tenant(world), *scopes, bindings=bindings)).text

    return make


async def _session(world: World) -> str:
    return (await world.log_in()).token


def _a(world: World) -> str:
    return world.tenant_a


def _b(world: World) -> str:
    return world.tenant_b


def _suspended(world: World) -> str:
    return world.suspended


def _platform(_world: World) -> str:
    return PLATFORM_TENANT_ID


STRANGERS: Final[dict[str, Maker]] = {
    "no credential": _nobody,
    "bootstrap token": _bootstrap_token,  # first: it is made while there is no admin
    "malformed": _malformed,
    "unknown key": _unknown,
    "wrong secret": _wrong_secret,
    "expired key": _expired_key,
    "revoked key": _revoked_key,
    "rotated key": _rotated_key,
    "deleted tenant's key": _deleted_tenants_key,
    "client secret": _client_secret,
    "expired token": _expired_token,
    "revoked token": _revoked_token,
    "revoked client's token": _tokens_client_revoked,
    "expired session": _expired_session,
    "revoked session": _revoked_session,
}

PRINCIPALS: Final[dict[str, dict[str, Maker]]] = {
    "stranger": STRANGERS,
    "suspended": {
        "suspended key": _key_of(_suspended, *TENANT_SCOPES),
        "suspended token": _token_of(_suspended, *TENANT_SCOPES),
    },
    "elsewhere": {
        "bound key": _key_of(_a, *TENANT_SCOPES, bindings=NOWHERE),
        "bound token": _token_of(_a, *TENANT_SCOPES, bindings=NOWHERE),
        "bound platform key": _key_of(_platform, *ALL_SCOPES, bindings=NOWHERE),
    },
    "predict": {"predict-only key": _key_of(_a, PREDICT)},
    "usage": {"usage-only key": _key_of(_a, USAGE_READ)},
    "admin": {"tenant admin": _key_of(_a, *SELF_SERVICE)},
    "token": {"tenant token": _token_of(_a, *SELF_SERVICE)},
    "other": {"other tenant's admin": _key_of(_b, *TENANT_SCOPES)},
    "platform": {"platform admin key": _key_of(_platform, *ALL_SCOPES)},
    "session": {"admin session": _session},
    "ptoken": {"platform token": _token_of(_platform, *ALL_SCOPES)},
    "billing": {"platform billing key": _key_of(_platform, USAGE_READ_ALL)},
}
"""The principals of each column of the table."""
