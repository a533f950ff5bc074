"""`tollgate usage export`: write the records of the ledger into a file, and go on if stopped."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from gateway.cli.console import Json, show
from gateway.cli.usage_client import ServerSource
from gateway.errors import ExportFailed
from gateway.moments import microseconds, parse_moment
from gateway.reading.export import Export, Exported, ExportForm, Progress, Source
from gateway.reading.sources import open_database
from gateway.settings import load_settings
from gateway.usage.reading import RecordWish


class _Wish(NamedTuple):
    """What is wanted, as it was written."""

    start: str | None
    end: str | None
    tenant_id: str | None
    server: str | None
    key_file: Path | None
    is_test: bool

    @property
    def query(self) -> dict[str, str | bool | None]:
        """Say what makes one export another than the next."""
        wanted = self._asdict()
        del wanted["key_file"]
        return wanted

    def records(self) -> RecordWish:
        """Say it to the database."""
        start_us = None if self.start is None else _microseconds(self.start, "--from")
        end_us = None if self.end is None else _microseconds(self.end, "--to")
        return RecordWish(start_us, end_us, self.tenant_id, is_test=self.is_test)

    def parameters(self) -> dict[str, str]:
        """Say it to a server."""
        given = {"from": self.start, "to": self.end, "tenant_id": self.tenant_id}
        shown = {name: text for name, text in given.items() if text is not None}
        return shown | ({"test": "true"} if self.is_test else {})


def _microseconds(text: str, option: str) -> int:
    return microseconds(parse_moment(text, name=option))


def add_export_command(commands: typer.Typer) -> None:
    """Add the command to those of `tollgate usage`."""
    commands.command("export")(export)


def export(
    *,
    output: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    form: Annotated[
        ExportForm, typer.Option("--format", help="What to write; Parquet needs the extra `arrow`.")
    ] = "ndjson",
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="First moment: a date (UTC) or RFC 3339."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="First moment that is not in it.")
    ] = None,
    tenant_id: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT_ID", help="Only this tenant.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Read from a server, as https://HOST, instead."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File with the API key for --server.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="What test keys did, instead of what is billed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the records of the ledger into a file.

    It ends where all is counted: at --to, or at `complete_through` of the moment it was begun.
    Stopped anywhere and run again it goes on, and the file is the same bytes. It has its name when
    it is whole; until then `FILE.part` and `FILE.part.json` stand there.

    Example: tollgate usage export --from 2026-11-01 --to 2026-12-01 --output november.ndjson
    """
    wish = _Wish(start, end, tenant_id, server, key_file, is_test=test)
    job = Export(output, form)
    progress = job.begun(wish.query)
    with _source(wish) as source:
        expected = 0
        if progress is None:
            opening = source.begin()
            expected = opening.requests
            progress = Progress(
                query=wish.query, form=form, position=opening.position, end=opening.end
            )
        exported = _write(job, source.until(progress.end), progress, expected=expected)
    show(exported, as_json=as_json)


def _write(job: Export, source: Source, progress: Progress, *, expected: int) -> Exported:
    """Write what is missing, and show on a terminal how far it is."""
    with typer.progressbar(
        length=max(expected, progress.records), label="records", file=sys.stderr
    ) as bar:
        bar.update(progress.records)
        return job.run(source, progress, on_page=bar.update)


@contextlib.contextmanager
def _source(wish: _Wish) -> Iterator[Source]:
    if wish.server is None:
        with open_database(load_settings(), wish.records()) as source:
            yield source
    elif wish.key_file is None:
        raise ExportFailed("--server needs --key-file, a file with an API key")
    else:
        yield ServerSource(wish.server, wish.key_file.read_text("utf-8").strip(), wish.parameters())
