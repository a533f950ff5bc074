"""Read signing keys and revoked tokens from SQL."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.revoked_tokens import RevokedToken
from auth.rows import AnyRow
from auth.signing_keys import Purpose, SigningKey
from auth.token_tables import revoked_tokens, signing_keys


def signing_key_from(row: AnyRow) -> SigningKey:
    """Read a row of `signing_keys`."""
    return SigningKey(
        kid=row.kid,
        public_point=row.public_point,
        sealed_private=row.sealed_private,
        created_at=row.created_at,
        signs_from=row.signs_from,
        signs_until=row.signs_until,
        revoked_at=row.revoked_at,
        purpose=Purpose(row.purpose),
    )


async def read_signing_keys(
    connection: AsyncConnection, *, since: int = 0
) -> tuple[SigningKey, ...]:
    """Read the keys that changed after a revision, in the order in which they sign."""
    query = (
        select(signing_keys)
        .where(signing_keys.c.revision > since)
        .order_by(signing_keys.c.signs_from, signing_keys.c.kid)
    )
    return tuple(map(signing_key_from, await connection.execute(query)))


async def read_revoked_tokens(
    connection: AsyncConnection, *, since: int
) -> tuple[RevokedToken, ...]:
    """Read the tokens that were revoked after a revision."""
    query = select(revoked_tokens).where(revoked_tokens.c.revision > since)
    return tuple(
        RevokedToken(row.token_id, row.client_id, row.expires_at)
        for row in await connection.execute(query)
    )
