"""Read sessions as the credentials that they are."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.admin_rows import session_from
from auth.admin_tables import admins, sessions
from auth.credentials import Credential
from auth.entries import CredentialRecord, StoredSecret
from auth.tenants import PLATFORM_TENANT_ID


async def read_session_records(
    connection: AsyncConnection, *, since: int
) -> tuple[CredentialRecord, ...]:
    """Read sessions and the scopes that their admins hold now, with one statement."""
    admin = admins.c
    query = (
        select(sessions, admin.scopes, admin.disabled_at)
        .select_from(sessions.join(admins))
        .where(sessions.c.revision > since)
    )
    return tuple(
        CredentialRecord(
            Credential(
                credential_id=row.session_id,
                kind="session",
                tenant_id=PLATFORM_TENANT_ID,
                scopes=tuple(row.scopes),
                expires_at=session_from(row).ends_at,
                revoked_at=row.revoked_at or row.disabled_at,
            ),
            (StoredSecret(row.digest, session_from(row).ends_at.timestamp(), row.pepper_version),),
        )
        for row in await connection.execute(query)
    )
