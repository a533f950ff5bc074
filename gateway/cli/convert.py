"""`tollgate models convert`: from a scikit-learn estimator on disk to a version of a model."""

import asyncio
import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.console import comma_list
from gateway.errors import StartRefused
from gateway.model_settings import open_vetter
from gateway.settings import load_settings
from inference.conversion import Conversion, ConversionJob, convert, missing_packages
from inference.repository import is_version_path
from inference.version_files import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, VersionPath

WARNING: Final = """\
WARNING: a joblib file is a pickle, and reading a pickle runs whatever its author put into it.
It will be read by a process without network and without this server's secrets, but with your
rights to the files of this machine. Never convert a file of somebody whom you do not trust.
"""
_TOLERANCE: Final = 1e-4
_MOST_SAMPLES: Final = 1000


def convert_model(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Estimator, as joblib wrote it.")],
    target: Annotated[
        Path, typer.Argument(metavar="VERSION", help="Folder to make: REPOSITORY/NAME/NUMBER.")
    ],
    samples: Annotated[
        Path | None,
        typer.Option(help="CSV of rows with a header line; they become the golden samples."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns of text, by comma.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="You know and trust whoever made the file.")
    ] = False,
) -> None:
    """Convert a fitted scikit-learn estimator into a version that can be served.

    Writes the graph, a contract with the columns' names unless the model's versions share one, and,
    from the samples, what the estimator itself predicts. It is vetted before it appears.

    Example: tollgate models convert rent.joblib models/rent/1 --samples rents.csv --trust
    """
    _check_may_read(trust=trust)
    path = _version_of(target)
    columns = comma_list(text) or ()
    header, rows = _read_samples(samples, columns) if samples is not None else ([], [])
    job = ConversionJob(text_columns=columns, samples=tuple(rows))
    conversion, graph = convert(path.name, file, job)
    names = [feature.name for feature in conversion.features]
    if samples is not None and header != names:
        raise StartRefused(f"{samples}: the columns must be {','.join(names)}")
    _place(path, graph, conversion, rows=rows)
    _report(path, conversion, rows)


def _check_may_read(*, trust: bool) -> None:
    typer.echo(WARNING, err=True)
    if not trust:
        typer.echo("Nothing was read. If you trust it, say --trust.", err=True)
        raise typer.Exit(1)
    if missing := missing_packages():
        raise StartRefused(
            f"{', '.join(missing)} is not installed: pip install 'tollgate[convert]'"
        )


def _version_of(target: Path) -> VersionPath:
    """Read name and number from the folder that is to be made."""
    path = VersionPath(target.parent.parent, target.parent.name, target.name)
    if not is_version_path(path):
        raise StartRefused(f"{target} is not REPOSITORY/NAME/NUMBER")
    if target.exists():
        raise StartRefused(f"{target} is there already: versions are never changed")
    return path


def _read_samples(
    samples: Path, text_columns: tuple[str, ...]
) -> tuple[list[str], list[tuple[str | float, ...]]]:
    with samples.open(encoding="utf-8-sig", newline="") as opened:
        header, *lines = csv.reader(opened) or [[]]
    if len(lines) > _MOST_SAMPLES:
        raise StartRefused(f"{samples}: at most {_MOST_SAMPLES} rows")
    try:
        rows = [
            tuple(
                cell if name in text_columns else float(cell)
                for name, cell in zip(header, line, strict=True)
            )
            for line in lines
        ]
    except ValueError as error:
        raise StartRefused(f"{samples}: {error}; columns of text are named by --text") from None
    return header, rows


def _place(
    path: VersionPath,
    graph: bytes,
    conversion: Conversion,
    *,
    rows: list[tuple[str | float, ...]],
) -> None:
    """Write and vet the version aside, then move it to its place.

    Raises:
        ModelRefused: the graph does not predict what the estimator does, or is not acceptable.
    """
    path.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.root, prefix=".converting-") as aside:
        staged = VersionPath(Path(aside), path.name, path.version)
        staged.folder.mkdir(parents=True)
        (staged.folder / MODEL_FILE).write_bytes(graph)
        if rows:
            golden = json.dumps(_golden(conversion, rows), indent=2)
            (staged.folder / GOLDEN_FILE).write_text(golden + "\n", encoding="utf-8")
        shared = path.folder.parent / MANIFEST_FILE
        if shared.exists():
            shutil.copy(shared, staged.folder.parent)
        else:
            manifest = _manifest(conversion, rows)
            (staged.folder / MANIFEST_FILE).write_text(manifest, encoding="utf-8")
        asyncio.run(open_vetter(load_settings()).vet(staged))
        staged.folder.rename(path.folder)


def _named(conversion: Conversion, row: tuple[str | float, ...]) -> dict[str, str | float]:
    names = (feature.name for feature in conversion.features)
    return dict(zip(names, row, strict=True))


def _golden(conversion: Conversion, rows: list[tuple[str | float, ...]]) -> dict[str, object]:
    return {
        "instances": [_named(conversion, row) for row in rows],
        "predictions": list(conversion.predictions),
        "relative_tolerance": _TOLERANCE,
    }


def _manifest(conversion: Conversion, rows: list[tuple[str | float, ...]]) -> str:
    """Write a contract that names the columns; its author adds ranges, units and descriptions."""
    lines = [f"description = {_quoted(f'{conversion.estimator} of scikit-learn.')}"]
    for feature in conversion.features:
        lines += [
            "",
            "[[features]]",
            f"name = {_quoted(feature.name)}",
            f"input = {_quoted(feature.input)}",
            f"type = {_quoted(feature.type)}",
        ]
    if rows:
        members = _named(conversion, rows[0]).items()
        lines += ["", "[example]"]
        lines += [f"{_quoted(name)} = {_quoted(value)}" for name, value in members]
    return "\n".join(lines) + "\n"


def _quoted(value: object) -> str:
    """Write a value of TOML, whose strings are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _report(path: VersionPath, conversion: Conversion, rows: list[tuple[str | float, ...]]) -> None:
    for warning in conversion.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{path.folder}: {conversion.estimator} of {len(conversion.features)} columns")
    if rows:
        typer.echo(f"The graph predicts the {len(rows)} samples as scikit-learn does.")
    else:
        typer.echo("Nothing shows that it predicts as scikit-learn does: no --samples were given.")
