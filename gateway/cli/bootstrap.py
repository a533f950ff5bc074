"""Show the token that makes the first admin, once."""

from datetime import UTC, datetime

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.actor import Actor, command
from auth.admins import BootstrapToken
from auth.bootstrap import issue_first_token, issue_new_token
from gateway.database import opened_database
from gateway.settings import Settings


async def tell_first_token(engine: AsyncEngine, *, actor: Actor) -> None:
    """Print the token on stderr where nobody has a credential yet and nobody was told one."""
    issued = await issue_first_token(engine, actor=actor, now=datetime.now(UTC))
    if issued is not None:
        tell_token(issued)


async def replace_token(settings: Settings) -> BootstrapToken:
    """Make a token in the place of a lost one.

    Raises:
        InvalidChange: there is an admin already.
        SchemaMismatch: the database is older or newer than this program.
    """
    async with opened_database(settings) as engine:
        return await issue_new_token(engine, actor=command(), now=datetime.now(UTC))


def tell_token(issued: BootstrapToken) -> None:
    """Print a token with what to do with it.

    On stderr, so that what a script reads from the command holds no secret.
    """
    typer.echo(
        f"There is no admin yet. This token makes the first one, once, until "
        f"{issued.expires_at:%Y-%m-%d %H:%M} UTC:\n\n"
        f"  {issued.token}\n\n"
        "Send it as the bearer of POST /v1/admins, or make an admin here with `tollgate admin "
        "create`.\nLost? `tollgate admin bootstrap` prints another. More: docs/admin.md",
        err=True,
    )
