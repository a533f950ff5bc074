"""A pepper is changed while every key works: known, then in use, then the only one."""

from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.authenticator import Authenticator
from auth.errors import CredentialInvalid
from auth.generation import Generation
from auth.keyset import Keyset
from auth.pepper_store import count_live_digests
from auth.secret_files import VersionedSecret
from auth.store import Store
from auth.tenants import Tenant
from tests.actors import TESTER
from tests.tokens import token_gate
from tests.unit.auth.conftest import PEPPER, SEALER, FakeClock

SECOND = b"a second pepper, which came much later"
OLD = VersionedSecret({1: PEPPER})
KNOWN = VersionedSecret({1: PEPPER, 2: SECOND})
IN_USE = VersionedSecret({2: SECOND, 1: PEPPER})
ONLY = VersionedSecret({2: SECOND})


@dataclass
class Worker:
    """One process of a server, started with some state of the pepper."""

    store: Store
    keyset: Keyset
    authenticator: Authenticator

    async def accepts(self, credential: str) -> bool:
        """Tell whether a request with this secret that begins now is served."""
        await self.keyset.refresh()
        try:
            if credential.startswith("tg_clnt_"):
                client_id = "cli_" + credential.split("_")[2]
                self.authenticator.authenticate_client(client_id, credential)
            else:
                self.authenticator.authenticate(credential)
        except CredentialInvalid:
            return False
        return True

    async def renew(self) -> int:
        """Do what the server does beside the requests, and return how many digests it renewed."""
        renewals = self.authenticator.take_renewals()
        await self.store.renew_digests(renewals)
        return len(renewals)


@dataclass
class Fleet:
    """The processes that share the records."""

    engine: AsyncEngine
    generation: Generation
    clock: FakeClock

    def worker(self, pepper: VersionedSecret) -> Worker:
        """Start a process with the pepper as it is now."""
        keyset = Keyset(self.engine, generation=self.generation)
        return Worker(
            Store(
                self.engine,
                pepper=pepper,
                sealer=SEALER,
                generation=self.generation,
                now=self.clock.aware,
            ),
            keyset,
            Authenticator(
                keyset,
                pepper=pepper,
                tokens=token_gate(keyset, self.clock.seconds),
                now=self.clock.seconds,
            ),
        )

    async def counts(self) -> dict[int, int]:
        """Count the live secrets of each version."""
        return await count_live_digests(self.engine, now=self.clock.now)


@pytest.fixture
def fleet(engine: AsyncEngine, generation: Generation, clock: FakeClock) -> Fleet:
    """Return processes that are not started yet."""
    return Fleet(engine, generation, clock)


async def secrets_of(store: Store, tenant: Tenant) -> list[str]:
    """Make a secret of each kind that is digested under the pepper."""
    key = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    client = await store.create_client(tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"])
    assert client.client_secret is not None
    return [key.api_key, client.client_secret]


async def test_every_step_serves_what_any_other_step_made(fleet: Fleet, tenant: Tenant) -> None:
    """A rolling restart has processes of two neighbouring steps at once."""
    for before, after in ((OLD, KNOWN), (KNOWN, IN_USE)):
        workers = [fleet.worker(before), fleet.worker(after)]
        for maker in workers:
            for secret in await secrets_of(maker.store, tenant):
                assert [await worker.accepts(secret) for worker in workers] == [True, True]


async def test_used_secret_moves_to_the_pepper_in_use(fleet: Fleet, tenant: Tenant) -> None:
    """At its next use, once, and is accepted before and after by both steps."""
    secrets = await secrets_of(fleet.worker(OLD).store, tenant)
    known, in_use = fleet.worker(KNOWN), fleet.worker(IN_USE)
    assert await fleet.counts() == {1: 2}
    for secret in secrets * 2:
        assert await in_use.accepts(secret)
    assert await in_use.renew() == 2
    assert await fleet.counts() == {2: 2}
    for secret in secrets:
        assert await known.accepts(secret)
        assert await in_use.accepts(secret)
        assert await fleet.worker(ONLY).accepts(secret)
    assert in_use.authenticator.take_renewals() == []


async def test_known_version_moves_nothing(fleet: Fleet, tenant: Tenant) -> None:
    """Until every process knows it, nothing is made with it."""
    secrets = await secrets_of(fleet.worker(OLD).store, tenant)
    known = fleet.worker(KNOWN)
    for secret in secrets:
        assert await known.accepts(secret)
    assert known.authenticator.take_renewals() == []
    await secrets_of(known.store, tenant)
    assert await fleet.counts() == {1: 4}


async def test_wrong_secret_renews_nothing(fleet: Fleet, tenant: Tenant) -> None:
    """A guess never becomes a digest."""
    [secret, _] = await secrets_of(fleet.worker(OLD).store, tenant)
    in_use = fleet.worker(IN_USE)
    other = await fleet.worker(OLD).store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    forged = secret[: len("tg_live_") + 16] + other.api_key[len("tg_live_") + 16 :]
    assert not await in_use.accepts(forged)
    assert in_use.authenticator.take_renewals() == []


async def test_secret_that_was_rotated_meanwhile_stays_gone(fleet: Fleet, tenant: Tenant) -> None:
    """A renewal that comes late brings nothing back."""
    old = fleet.worker(OLD)
    issued = await old.store.create_key(
        tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"]
    )
    in_use = fleet.worker(IN_USE)
    assert await in_use.accepts(issued.api_key)
    for _ in range(2):
        fleet.clock.advance(1)
        await in_use.store.rotate_key(
            tenant.tenant_id, issued.key.key_id, actor=TESTER, overlap_seconds=0
        )
    await in_use.renew()
    assert not await in_use.accepts(issued.api_key)


async def test_retired_version_counts_what_still_needs_it(fleet: Fleet, tenant: Tenant) -> None:
    """Revoked keys need nothing."""
    store = fleet.worker(OLD).store
    key = await store.create_key(tenant.tenant_id, actor=TESTER, name="k", scopes=["predict"])
    await secrets_of(fleet.worker(IN_USE).store, tenant)
    assert await fleet.counts() == {1: 1, 2: 2}
    await store.revoke_key(tenant.tenant_id, key.key.key_id, actor=TESTER)
    assert await fleet.counts() == {2: 2}


async def test_secret_of_a_version_that_is_gone_is_refused(fleet: Fleet, tenant: Tenant) -> None:
    """Like a wrong one, and never compared with anything."""
    secrets = await secrets_of(fleet.worker(OLD).store, tenant)
    only = fleet.worker(ONLY)
    assert [await only.accepts(secret) for secret in secrets] == [False, False]
