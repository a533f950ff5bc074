"""Signing keys change under load: no good token is refused, no token of a revoked key accepted."""

import asyncio

from gateway.settings import Settings
from tests.actors import TESTER
from tests.load import Caller, ClientLog, Pace, run_load
from tests.population import make_plan, make_tenant
from tests.serving import Server
from tests.tokens import Office, open_office

ROTATIONS = 100
REVOCATIONS = 10


async def rotate_often(office: Office, server: Server, caller: Caller) -> None:
    """Let key after key sign at once; the first token of each is served at once."""
    for _ in range(ROTATIONS):
        await office.store.rotate_signing_key(actor=TESTER, at_once=True)
        token = await office.token(caller.tenant_id, caller.key_id, "predict")
        assert await asked(server, token.text) == 200


async def test_rotations_under_load_refuse_nobody(server: Server) -> None:
    """A hundred keys within seconds; the tokens of all of them go on."""
    tenant_id = make_tenant(server, make_plan(server))
    settings = Settings(data_dir=server.data_dir, port=server.port)
    async with open_office(settings) as office:
        client_id = await office.client(tenant_id, "predict")
        issued = await office.token(tenant_id, client_id, "predict")
        caller, pace, log = Caller(tenant_id, client_id, issued.text), Pace(1_000_000), ClientLog()
        load = asyncio.create_task(
            run_load(
                server.port, [caller], server.demo["example"], connections=4, pace=pace, log=log
            )
        )
        await rotate_often(office, server, caller)
        pace.stop()
        await load
    assert log.failures == {}
    assert len(log.served) > ROTATIONS


async def test_token_of_a_revoked_key_is_never_accepted(server: Server) -> None:
    """No request that starts after the answer to a revocation is served."""
    tenant_id = make_tenant(server, make_plan(server))
    settings = Settings(data_dir=server.data_dir, port=server.port)
    async with open_office(settings) as office:
        client_id = await office.client(tenant_id, "predict")
        for _ in range(REVOCATIONS):
            issued = await office.token(tenant_id, client_id, "predict")
            statuses = [await asked(server, issued.text)]
            await office.store.revoke_signing_key(issued.claims.kid, actor=TESTER)
            statuses += [await asked(server, issued.text) for _ in range(3)]
            assert statuses == [200, 401, 401, 401]


async def asked(server: Server, token: str) -> int:
    """Ask for a prediction and return the status."""
    answer = await asyncio.to_thread(server.predict, token, server.demo["example"])
    return answer.status
