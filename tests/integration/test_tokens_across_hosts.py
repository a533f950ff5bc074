"""Access tokens between servers that share no data folder: made on one, stopped on all."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from auth.errors import CredentialInvalid
from auth.tokens import IssuedToken, TokenIssuer
from gateway.records import SETTLE_SECONDS
from tests.actors import TESTER
from tests.hosts import SEALER, Host, running_host
from tests.redis_server import running_redis
from tests.tokens import RULES

SERVED = b'{"predictions":[2.0,4.0,6.0]}'


@dataclass(frozen=True)
class Pair:
    """Two hosts, and a client of a tenant of theirs."""

    here: Host
    there: Host
    tenant_id: str
    client_id: str

    async def token(self) -> IssuedToken:
        """Sign a token here, as the token endpoint does."""
        if not self.here.keyset.is_current():
            await self.here.keyset.refresh()
        issuer = TokenIssuer(self.here.keyset.ring, rules=RULES, sealer=SEALER, now=time.time)
        return issuer.issue(client_id=self.client_id, tenant_id=self.tenant_id, scopes=["predict"])


@pytest.fixture
async def pair(tmp_path: Path, migrated_postgres: str) -> AsyncIterator[Pair]:
    """Run two hosts on one PostgreSQL and one Redis."""
    async with AsyncExitStack() as stack:
        redis_url = stack.enter_context(running_redis(tmp_path)).url
        hosts = []
        for name in ("here", "there"):
            (folder := tmp_path / name).mkdir()
            running = running_host(folder, database_url=migrated_postgres, redis_url=redis_url)
            hosts.append(await stack.enter_async_context(running))
        store = hosts[0].store
        await store.tend_signing_keys(actor=TESTER, max_age=timedelta(days=30))
        tenant = await store.create_tenant(actor=TESTER, name="A", plan_id=None, models=["*"])
        issued = await store.create_client(
            tenant.tenant_id, actor=TESTER, name="c", scopes=["predict"]
        )
        yield Pair(hosts[0], hosts[1], tenant.tenant_id, issued.client.client_id)


async def test_token_made_elsewhere_works_at_once(pair: Pair) -> None:
    """A key or a client that memory does not have is looked for in SQL before it is refused."""
    assert (await pair.there.predict((await pair.token()).text)).encoded.body == SERVED
    await pair.here.store.rotate_signing_key(actor=TESTER, at_once=True)
    assert (await pair.there.predict((await pair.token()).text)).encoded.body == SERVED


async def test_revoked_token_is_refused_by_the_other_host(pair: Pair) -> None:
    """The admission says that its catalogue is old, and nobody has to wait."""
    issued = await pair.token()
    await pair.there.predict(issued.text)
    await pair.here.store.revoke_token(issued.claims, actor=TESTER)
    with pytest.raises(CredentialInvalid):
        await pair.there.predict(issued.text)
    assert pair.here.settled == []


async def test_revoked_client_is_refused_by_the_other_host(pair: Pair) -> None:
    """Its tokens stop with it."""
    issued = await pair.token()
    await pair.there.predict(issued.text)
    await pair.here.store.revoke_client(pair.tenant_id, pair.client_id, actor=TESTER)
    with pytest.raises(CredentialInvalid):
        await pair.there.predict(issued.text)


async def test_revoked_signing_key_waits_until_all_hosts_have_read_of_it(pair: Pair) -> None:
    """Its tokens may be of any tenant, so the answer comes when every host has read SQL."""
    issued = await pair.token()
    await pair.there.predict(issued.text)
    await pair.here.store.revoke_signing_key(issued.claims.kid, actor=TESTER)
    assert pair.here.settled == [SETTLE_SECONDS]
    await pair.there.keyset.refresh()  # as each server does every second
    with pytest.raises(CredentialInvalid):
        await pair.there.predict(issued.text)
