"""`tollgate signing-keys`: list, rotate and revoke the keys that sign tokens and receipts."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import AwareDatetime, BaseModel

from auth.actor import command
from auth.signing_keys import Purpose, SigningKey
from gateway.cli.console import Json, show, show_list
from gateway.cli.records import ask_store

commands = typer.Typer(
    help="List, rotate and revoke the keys that sign access tokens and receipts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Receipts = Annotated[
    bool, typer.Option("--receipts", help="The keys of receipts, not those of access tokens.")
]

_COLUMNS = ("kid", "state", "signs_from", "signs_until", "revoked_at")


class SigningKeyDocument(BaseModel):
    """A signing key by all that is public about it."""

    kid: str
    state: str
    created_at: AwareDatetime
    signs_from: AwareDatetime
    signs_until: AwareDatetime | None
    revoked_at: AwareDatetime | None

    @classmethod
    def of(cls, key: SigningKey) -> "SigningKeyDocument":
        """Describe a key as it is now."""
        return cls(
            kid=key.kid,
            state=key.state(datetime.now(UTC)),
            created_at=key.created_at,
            signs_from=key.signs_from,
            signs_until=key.signs_until,
            revoked_at=key.revoked_at,
        )


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.add_typer(commands, name="signing-keys")


@commands.command("list")
def list_signing_keys(*, receipts: Receipts = False, as_json: Json = False) -> None:
    """List the keys: published, signing, retired, and for a day those that are gone."""
    purpose = _purpose(is_receipt=receipts)
    keys = ask_store(lambda store: store.list_signing_keys(purpose))
    documents = [SigningKeyDocument.of(key) for key in keys]
    show_list(documents, columns=_COLUMNS, as_json=as_json)


@commands.command("rotate")
def rotate_signing_key(
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Let the next key sign at once, not in ten minutes.")
    ] = False,
    receipts: Receipts = False,
    as_json: Json = False,
) -> None:
    """Publish the next key, which takes over in ten minutes; tokens of the last one go on.

    Example: tollgate signing-keys rotate
    """
    purpose = _purpose(is_receipt=receipts)
    key = ask_store(
        lambda store: store.rotate_signing_key(actor=command(), at_once=now, purpose=purpose)
    )
    show(SigningKeyDocument.of(key), as_json=as_json)


@commands.command("revoke")
def revoke_signing_key(
    *,
    kid: Annotated[
        str, typer.Argument(metavar="KID", help="Id of the key, as `signing-keys list` shows it.")
    ],
    as_json: Json = False,
) -> None:
    """Stop a stolen key and all tokens that it signed, from the next request on.

    Receipts that it signed before are still good; the published keys say until when.

    Example: tollgate signing-keys revoke p3dQ5yVn0sXb8kM2fGhT7wJzL1cRaE9uN4oIvBtYxZs
    """
    key = ask_store(lambda store: store.revoke_signing_key(kid, actor=command()))
    show(SigningKeyDocument.of(key), as_json=as_json)


def _purpose(*, is_receipt: bool) -> Purpose:
    return Purpose.RECEIPT if is_receipt else Purpose.ACCESS
