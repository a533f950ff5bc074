"""`tollgate models list` and `tollgate check`: look at a model repository without serving it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import Json, show_json, show_table
from gateway.cli.trials import add_commands as add_trial_commands
from gateway.errors import RepositoryMissing, StartRefused
from gateway.settings import Settings, load_settings
from inference.registry import ModelStatus, Registry
from inference.settings import InferenceSettings

commands = typer.Typer(
    help="Look at the models of the repository.", no_args_is_help=True, rich_markup_mode=None
)

_COLUMNS = ("model", "version", "ready", "reason")


def register(program: typer.Typer) -> None:
    """Add the commands."""
    add_trial_commands(commands)
    program.add_typer(commands, name="models")
    program.command("check")(check_repository)


@commands.command("list")
def list_models(*, as_json: Json = False) -> None:
    """List every model and version of TOLLGATE_MODEL_REPOSITORY, as a server would load it."""
    settings = load_settings()
    with loaded(settings.model_repository, settings) as registry:
        _show(registry.statuses(), as_json=as_json)


def check_repository(
    *,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of name/version/model.onnx.")
    ],
    as_json: Json = False,
) -> None:
    """Check a model repository before it is served.

    Loads it in full, golden samples included, and says what a server would refuse. Exits 1 when
    any model is refused, so that a pipeline can stop there.

    Example: tollgate check ./models
    """
    with loaded(path, load_settings()) as registry:
        statuses = registry.statuses()
    _show(statuses, as_json=as_json)
    if not statuses:
        raise StartRefused(f"{path} holds no model: name/version/model.onnx is expected")
    if not all(status.is_ready for status in statuses):
        raise typer.Exit(1)


@contextmanager
def loaded(path: Path, settings: Settings) -> Iterator[Registry]:
    """Load a repository and give back what it held.

    Raises:
        RepositoryMissing: there is no such folder.
    """
    if not path.is_dir():
        raise RepositoryMissing(path)
    registry = Registry.load(
        path,
        InferenceSettings(
            intra_op_threads=settings.intra_op_threads, concurrent_runs=settings.concurrent_runs
        ),
    )
    try:
        yield registry
    finally:
        registry.close()


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
