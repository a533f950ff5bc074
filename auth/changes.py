"""Read what changed in the catalogue since a revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.client_records import read_client_records
from auth.credentials import credential_of_key
from auth.entries import CredentialRecord, StoredSecret, epoch_seconds
from auth.followers import Apply, Follower
from auth.revoked_tokens import RevokedToken
from auth.rows import API_KEY_COLUMNS, api_key_from, plan_from, tenant_from
from auth.session_records import read_session_records
from auth.signing_keys import SigningKey
from auth.tables import api_key_secrets, api_keys, catalog_revision, plans, tenants
from auth.tenants import ApiKey, Plan, Tenant
from auth.token_rows import read_revoked_tokens, read_signing_keys

READ_ONLY: Final = {"postgresql_readonly": True}
"""Execution option of a connection that only reads. Our SQLite engines know it too: they then
leave the write lock alone (`gateway/database.py`).
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """Carry everything whose revision is above the one asked for."""

    revision: int
    records: tuple[CredentialRecord, ...]
    tenants: tuple[Tenant, ...]
    plans: tuple[Plan, ...]
    signing_keys: tuple[SigningKey, ...] = ()
    revoked_tokens: tuple[RevokedToken, ...] = ()
    followed: tuple[Apply, ...] = ()
    """What takes the followers' own rows into memory."""


async def read_changes(
    engine: AsyncEngine, *, since: int, followers: Sequence[Follower] = ()
) -> Changes:
    """Read plans, tenants, keys and what `followers` hold, as of after revision `since` (0: all).

    Where nothing did, the revision is all that is read.

    The order matters where each statement has a snapshot of its own (PostgreSQL): the revision
    first, so that whatever comes in between is read again next time; keys before tenants before
    plans, so that nothing refers to a row that was not read yet.
    """
    async with engine.execution_options(**READ_ONLY).connect() as connection:
        revision = await connection.scalar(select(catalog_revision.c.revision))
        if revision is not None and revision == since > 0:
            return Changes(revision=revision, records=(), tenants=(), plans=())
        records = (
            *await read_key_records(connection, since=since),
            *await read_client_records(connection, since=since),
            *await read_session_records(connection, since=since),
        )
        tenant_rows = await connection.execute(select(tenants).where(tenants.c.revision > since))
        plan_rows = await connection.execute(select(plans).where(plans.c.revision > since))
        return Changes(
            revision=revision or 0,
            records=records,
            tenants=tuple(map(tenant_from, tenant_rows)),
            plans=tuple(map(plan_from, plan_rows)),
            signing_keys=await read_signing_keys(connection, since=since),
            revoked_tokens=await read_revoked_tokens(connection, since=since),
            followed=tuple(
                [await follower.read(connection, since=since) for follower in followers]
            ),
        )


async def read_key_records(
    connection: AsyncConnection, *, since: int
) -> tuple[CredentialRecord, ...]:
    """Read keys and their secrets with one statement, so that they belong together."""
    secret = api_key_secrets.c
    joined = api_keys.outerjoin(api_key_secrets)
    query = (
        select(
            *API_KEY_COLUMNS,
            secret.digest,
            secret.pepper_version,
            secret.expires_at.label("ends_at"),
        )
        .select_from(joined)
        .where(api_keys.c.revision > since)
    )
    keys: dict[str, ApiKey] = {}
    secrets: dict[str, list[StoredSecret]] = {}
    for row in await connection.execute(query):
        if row.key_id not in keys:
            keys[row.key_id] = api_key_from(row)
            secrets[row.key_id] = []
        if row.digest is not None:
            secrets[row.key_id].append(
                StoredSecret(row.digest, epoch_seconds(row.ends_at), row.pepper_version)
            )
    return tuple(
        CredentialRecord(credential_of_key(key), tuple(secrets[key_id]))
        for key_id, key in keys.items()
    )
