"""`tollgate models list` and `tollgate check`: look at a model repository without serving it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import Json, show_json, show_table
from gateway.cli.convert import convert_model
from gateway.cli.trials import add_commands as add_trial_commands
from gateway.cli.versions import add_commands as add_version_commands
from gateway.errors import RepositoryMissing, StartRefused
from gateway.model_settings import open_vetter
from gateway.settings import load_settings
from inference.registry import ModelStatus
from inference.repository import list_versions
from inference.version_files import VersionPath
from inference.vetter import Vetter
from inference.vetting_report import VettingReport

commands = typer.Typer(
    help="Look at the models of the repository.", no_args_is_help=True, rich_markup_mode=None
)

_COLUMNS = ("model", "version", "ready", "reason")


def register(program: typer.Typer) -> None:
    """Add the commands."""
    add_version_commands(commands)
    add_trial_commands(commands)
    commands.command("convert")(convert_model)
    program.add_typer(commands, name="models")
    program.command("check")(check_repository)
    commands.command("check")(check_repository)


@commands.command("list")
def list_models(*, as_json: Json = False) -> None:
    """List every model and version of TOLLGATE_MODEL_REPOSITORY, as a server would load it."""
    settings = load_settings()
    statuses = judged(settings.model_repository, open_vetter(settings), afresh=False)
    _show(statuses, as_json=as_json)


def check_repository(
    *,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of name/version/model.onnx.")
    ],
    as_json: Json = False,
) -> None:
    """Check a model repository before it is served.

    Loads and tries each version in a child process of its own, golden samples included, and says
    what a server would refuse. Exits 1 when any is refused, so that a pipeline can stop there.

    Example: tollgate check ./models
    """
    statuses = judged(path, open_vetter(load_settings()), afresh=True)
    _show(statuses, as_json=as_json)
    if not statuses:
        raise StartRefused(f"{path} holds no model: name/version/model.onnx is expected")
    if not all(status.is_ready for status in statuses):
        raise typer.Exit(1)


def judged(path: Path, vetter: Vetter, *, afresh: bool) -> list[ModelStatus]:
    """Vet all of a repository, some versions at a time, and load none of it.

    Raises:
        RepositoryMissing: there is no such folder.
    """

    async def judge() -> list[ModelStatus]:
        paths = list_versions(path)
        outcomes = await asyncio.gather(*(vetter.judge(each, afresh=afresh) for each in paths))
        return [_status(each, outcome) for each, outcome in zip(paths, outcomes, strict=True)]

    if not path.is_dir():
        raise RepositoryMissing(path)
    return asyncio.run(judge())


def _status(path: VersionPath, outcome: VettingReport | str) -> ModelStatus:
    reason = outcome if isinstance(outcome, str) else ""
    return ModelStatus(path.name, path.version, is_ready=not reason, reason=reason)


def _show(statuses: list[ModelStatus], *, as_json: bool) -> None:
    if as_json:
        models = [
            {
                "model": status.name,
                "version": status.version,
                "ready": status.is_ready,
                "reason": status.reason,
            }
            for status in statuses
        ]
        show_json({"models": models})
        return
    rows = [
        {
            "model": status.name,
            "version": status.version,
            "ready": "OK" if status.is_ready else "REFUSED",
            "reason": status.reason or None,
        }
        for status in statuses
    ]
    show_table(rows, columns=_COLUMNS)
