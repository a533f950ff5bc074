"""`tollgate models versions`, `push`, `promote`, `rollback`, `retire` and `label`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from auth.actor import command
from gateway.cli.console import Json, show, show_list
from gateway.cli.publishing import Force, ask_publisher
from gateway.cli.records import ask_store
from gateway.models.publisher import Publisher
from gateway.models.records import CHAMPION, LabelRecord
from gateway.models.staging import copy_files, staged
from gateway.models.trial_store import TrialStore
from gateway.models.version_store import version_in
from gateway.settings import load_settings
from gateway.version_schemas import LabelDocument, VersionDocument
from inference.errors import ModelRefused
from inference.repository import read_folder_name

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Number of the version.")]
Label = Annotated[str, typer.Option(metavar="LABEL", help="The label to move.")]
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder with model.onnx, named MODEL/VERSION.")
]
_COLUMNS = ("model", "version", "state", "served", "labels", "pushed_by", "digest", "reason")


def add_commands(commands: typer.Typer) -> None:
    """Add the commands to `tollgate models`."""
    for name, function in (
        ("versions", list_versions),
        ("push", push),
        ("promote", promote),
        ("rollback", roll_back),
        ("retire", retire),
        ("unlabel", remove_label),
    ):
        commands.command(name)(function)


def list_versions(
    *,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only of this model.")] = (
        None
    ),
    as_json: Json = False,
) -> None:
    """List registered versions: what is served, what was withdrawn or refused, and by whom."""

    async def read(store: TrialStore) -> list[VersionDocument]:
        records = await store.list_versions()
        chosen = [record for record in records if model in (None, record.name)]
        books = {name: await store.read_book(name) for name in {one.name for one in chosen}}
        return [VersionDocument.of(record, books[record.name]) for record in chosen]

    documents = ask_store(lambda store: read(store.part(TrialStore)))
    show_list(documents, columns=_COLUMNS, as_json=as_json)


def push(
    *,
    folder: Folder,
    promoted: Annotated[
        bool, typer.Option("--promote", help="Let it answer where no version is named, too.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Vet a version and serve it under its number, on all workers of a running server or none.

    The folder ends in MODEL/VERSION. Callers who name no version notice nothing before `promote`.

    Example: tollgate models push ./trained/housing/2
    """
    name, version = read_folder_name(folder)
    if not folder.is_dir():
        raise ModelRefused(name, f"there is no folder {folder}")

    async def bring(store: TrialStore, publisher: Publisher) -> VersionDocument:
        root = load_settings().model_repository
        with staged(root, name, version) as path:
            await asyncio.to_thread(copy_files, folder, path)
            await publisher.push(path, actor=command(), force=force)
        if promoted:
            await publisher.promote(name, version, actor=command(), force=force)
        book = await store.read_book(name)
        return VersionDocument.of(version_in(book, version), book)

    show(ask_publisher(bring), as_json=as_json)


def promote(
    *,
    model: Model,
    version: Version,
    label: Label = CHAMPION,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let a label stand for a version; the champion answers where no version is named.

    Example: tollgate models promote housing 2
    """

    async def move(_store: TrialStore, publisher: Publisher) -> LabelRecord:
        return await publisher.promote(model, version, label=label, actor=command(), force=force)

    show(LabelDocument.of(ask_publisher(move)), as_json=as_json)


def roll_back(*, model: Model, label: Label = CHAMPION, as_json: Json = False) -> None:
    """Let a label stand again for the version before the last promotion.

    Example: tollgate models rollback housing
    """

    async def move(_store: TrialStore, publisher: Publisher) -> LabelRecord:
        return await publisher.roll_back(model, label=label, actor=command())

    show(LabelDocument.of(ask_publisher(move)), as_json=as_json)


def retire(*, model: Model, version: Version, as_json: Json = False) -> None:
    """Withdraw a version; its files stay, and pushing them again brings it back.

    Example: tollgate models retire housing 1
    """

    async def withdraw(store: TrialStore, publisher: Publisher) -> VersionDocument:
        record = await publisher.retire(model, version, actor=command())
        return VersionDocument.of(record, await store.read_book(model))

    show(ask_publisher(withdraw), as_json=as_json)


def remove_label(*, model: Model, label: Annotated[str, typer.Argument(metavar="LABEL")]) -> None:
    """Take a label away; the version that it stood for stays.

    Example: tollgate models unlabel housing canary
    """

    async def remove(store: TrialStore, _publisher: Publisher) -> None:
        await store.remove_label(model, label, actor=command())

    ask_publisher(remove)
