"""What signs and checks access tokens in tests, beside a server or without one."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.keyset import Keyset
from auth.scopes import MODELS_READ, PREDICT
from auth.sealing import Sealer
from auth.signing_keys import generate_key_pair, sealing_context
from auth.store import Store
from auth.tables import catalog_revision
from auth.token_gate import TokenGate
from auth.token_tables import signing_keys
from auth.tokens import IssuedToken, TokenIssuer, TokenRules, TokenVerifier
from gateway.gate import open_gate
from gateway.records import open_records
from gateway.settings import Settings
from tests.actors import TESTER
from tests.forgeries.forge import Forge, unb64

PrivateKey = ec.EllipticCurvePrivateKey

RULES: Final = TokenRules(
    issuer="https://tollgate.example", audience="https://api.example", lifetime_seconds=300
)


def token_gate(keyset: Keyset, now: Callable[[], float], *, most_cached: int = 4096) -> TokenGate:
    """Check tokens as a server does whose issuer and audience are made up."""
    verifier = TokenVerifier(keyset.ring, rules=RULES, now=now)
    return TokenGate(keyset, verifier, now=now, most_cached=most_cached)


@dataclass(frozen=True)
class Office:
    """What makes keys, clients and tokens beside a server, in its own records."""

    store: Store
    keyset: Keyset
    issuer: TokenIssuer
    verifier: TokenVerifier
    sealer: Sealer
    engine: AsyncEngine

    async def private_key(self, kid: str) -> ec.EllipticCurvePrivateKey:
        """Open the private part of a signing key, as nobody else can."""
        keys = {key.kid: key.sealed_private for key in await self.store.list_signing_keys()}
        sealed = keys[kid]
        assert sealed is not None
        scalar = self.sealer.open(sealed, sealing_context(kid))
        return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())

    async def client(self, tenant_id: str, *scopes: str) -> str:
        """Make an OAuth2 client and return its id."""
        issued = await self.store.create_client(
            tenant_id, actor=TESTER, name="client", scopes=scopes
        )
        return issued.client.client_id

    async def token(self, tenant_id: str, client_id: str, *scopes: str) -> IssuedToken:
        """Sign a token as the token endpoint does."""
        await self.keyset.refresh()
        return self.issuer.issue(client_id=client_id, tenant_id=tenant_id, scopes=scopes)


@contextlib.asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """Work on the records of a server that runs with these settings."""
    async with open_records(settings) as records:
        gate = await open_gate(settings, records)
        parts = (gate.keyset, gate.issuer, gate.verifier, records.sealer, records.engine)
        yield Office(records.store, *parts)


async def set_up_forge(office: Office, now: datetime) -> Forge:
    """Make a valid token, its key, and everybody and every key that a forger could name."""
    store = office.store
    tenants = [
        await store.create_tenant(actor=TESTER, name=name, plan_id=None, models=["*"])
        for name in ("customer", "stranger")
    ]
    own, stranger = (tenant.tenant_id for tenant in tenants)
    client_id, revoked = [await office.client(own, PREDICT, MODELS_READ) for _ in range(2)]
    await store.revoke_client(own, revoked, actor=TESTER)
    key = await store.create_key(own, actor=TESTER, name="key", scopes=[PREDICT])
    states = await _other_keys(office, now)
    withdrawn = await office.token(own, client_id, PREDICT)
    await store.revoke_token(withdrawn.claims, actor=TESTER)
    issued = await office.token(own, client_id, PREDICT, MODELS_READ)
    return Forge(
        private=await office.private_key(issued.claims.kid),
        kid=issued.claims.kid,
        claims=json.loads(unb64(issued.text.split(".")[1])),
        others={
            "stranger": stranger,
            "strangers_client": await office.client(stranger, PREDICT),
            "key_id": key.key.key_id,
            "revoked": revoked,
            "revoked_jti": withdrawn.claims.token_id,
        },
        states=states,
        stranger=ec.generate_private_key(ec.SECP256R1()),
        rsa=rsa.generate_private_key(65_537, 2048),
    )


async def _other_keys(office: Office, now: datetime) -> dict[str, tuple[str, PrivateKey]]:
    """Make a key of ours that is gone, one that is revoked, and one that does not sign yet."""
    store, states = office.store, {}
    pair = generate_key_pair()
    scalar = int.from_bytes(pair.private_scalar, "big")
    states["gone"] = (pair.kid, ec.derive_private_key(scalar, ec.SECP256R1()))
    async with office.engine.begin() as connection:
        counted = update(catalog_revision).values(revision=catalog_revision.c.revision + 1)
        revision = await connection.scalar(counted.returning(catalog_revision.c.revision))
        row = {
            "kid": pair.kid,
            "public_point": pair.public_point,
            "created_at": now - timedelta(days=30),
            "signs_from": now - timedelta(days=30),
            "signs_until": now - timedelta(hours=1),
            "revision": revision,
        }
        await connection.execute(insert(signing_keys).values(**row))
    [first] = [key.kid for key in await store.list_signing_keys() if key.sealed_private]
    states["revoked"] = (first, await office.private_key(first))
    await store.revoke_signing_key(first, actor=TESTER)
    published = (await store.rotate_signing_key(actor=TESTER)).kid
    states["published"] = (published, await office.private_key(published))
    return states
