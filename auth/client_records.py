"""Read OAuth2 clients from SQL: as records of the keyset, and one with its keys."""

from datetime import datetime
from typing import Final, cast

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.client_keys import ClientKey, stored_key
from auth.client_tables import oauth_client_keys, oauth_client_secrets, oauth_clients
from auth.clients import Client, ClientAuthentication, credential_of_client
from auth.entries import CredentialRecord, StoredSecret, epoch_seconds
from auth.rows import AnyRow, names_of

_COLUMNS: Final = tuple(oauth_clients.columns)


def client_from(row: AnyRow, keys: tuple[ClientKey, ...] = ()) -> Client:
    """Read a row of `oauth_clients`."""
    return Client(
        client_id=row.client_id,
        tenant_id=row.tenant_id,
        name=row.name,
        scopes=tuple(row.scopes),
        authentication=cast("ClientAuthentication", row.authentication),
        may_exceed_plan=row.may_exceed_plan,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        requests_per_second=row.requests_per_second,
        burst=row.burst,
        models=names_of(row.models),
        networks=names_of(row.networks),
        keys=keys,
    )


async def read_client_records(
    connection: AsyncConnection, *, since: int
) -> tuple[CredentialRecord, ...]:
    """Read clients and their secrets with one statement, so that they belong together.

    Threat: were the clients not in the keyset, the token of one that is revoked, or of a tenant
    that is suspended, would be good until it expires.
    """
    secret = oauth_client_secrets.c
    query = (
        select(*_COLUMNS, secret.digest, secret.pepper_version, secret.expires_at.label("ends_at"))
        .select_from(oauth_clients.outerjoin(oauth_client_secrets))
        .where(oauth_clients.c.revision > since)
    )
    clients: dict[str, Client] = {}
    secrets: dict[str, list[StoredSecret]] = {}
    for row in await connection.execute(query):
        if row.client_id not in clients:
            clients[row.client_id] = client_from(row)
            secrets[row.client_id] = []
        if row.digest is not None:
            secrets[row.client_id].append(
                StoredSecret(row.digest, epoch_seconds(row.ends_at), row.pepper_version)
            )
    return tuple(
        CredentialRecord(credential_of_client(client), tuple(secrets[client_id]))
        for client_id, client in clients.items()
    )


async def read_client_keys(
    connection: AsyncConnection, client_ids: list[str], *, now: datetime
) -> dict[str, tuple[ClientKey, ...]]:
    """Read the public keys of clients that count now, by the clients' ids."""
    key = oauth_client_keys.c
    is_live = or_(key.expires_at.is_(None), key.expires_at > now)
    query = select(oauth_client_keys).where(key.client_id.in_(client_ids) & is_live)
    found: dict[str, tuple[ClientKey, ...]] = {}
    for row in await connection.execute(query.order_by(key.kid)):
        found[row.client_id] = (*found.get(row.client_id, ()), stored_key(row.jwk))
    return found
