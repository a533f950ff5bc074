"""Put together what tells who calls: keys by their digests, access tokens by their signatures."""

import time
from dataclasses import dataclass

from auth.authenticator import Authenticator
from auth.client_gate import ClientGate
from auth.keyset import Keyset
from auth.sealing import Sealer
from auth.token_gate import TokenGate
from auth.tokens import TokenIssuer, TokenRules, TokenVerifier
from gateway.oauth_metadata import audiences_of
from gateway.records import Records
from gateway.settings import Settings
from gateway.signing_key_care import purposes_of, tend_signing_keys


@dataclass(frozen=True, slots=True)
class Gate:
    """What knows callers, all of it over one keyset."""

    keyset: Keyset
    authenticator: Authenticator
    issuer: TokenIssuer
    verifier: TokenVerifier
    tokens: TokenGate
    clients: ClientGate
    sealer: Sealer


async def open_gate(settings: Settings, records: Records) -> Gate:
    """Build the gate over the records, with a key for all that is signed; nothing is read yet."""
    await tend_signing_keys(records.store, purposes_of(settings), max_age=settings.signing_key_age)
    keyset = Keyset(records.gate_engine, generation=records.generation)
    rules = TokenRules(
        issuer=settings.resolved_issuer,
        audience=settings.resolved_audience,
        lifetime_seconds=settings.token_lifetime_seconds,
    )
    verifier = TokenVerifier(keyset.ring, rules=rules, now=time.time)
    tokens = TokenGate(keyset, verifier, now=time.time)
    audiences = audiences_of(settings.resolved_issuer)
    return Gate(
        keyset=keyset,
        authenticator=Authenticator(keyset, pepper=records.pepper, tokens=tokens, now=time.time),
        issuer=TokenIssuer(keyset.ring, rules=rules, sealer=records.sealer, now=time.time),
        verifier=verifier,
        tokens=tokens,
        clients=ClientGate(keyset, records.store, audiences=audiences, now=time.time),
        sealer=records.sealer,
    )
