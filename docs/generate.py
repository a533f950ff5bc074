"""Write the tables of settings and errors into the pages, so that they say what the code does.

Run it as ``python -m docs.generate``; with ``--check`` it writes nothing and fails where a page is
stale. A page holds ``<!-- generated: NAME -->`` and ``<!-- end -->`` around each table.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.observability.catalogue import CATALOGUE
from gateway.observability.meter import Kind
from gateway.problems import TABLE, UNEXPECTED, Row
from gateway.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ("README.md", "docs/errors.md", "docs/metrics.md", "docs/settings.md")
_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+) -->\n)(?P<table>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)
_FIX_REQUEST: Final = "Change the request"
_FIX_CREDENTIAL: Final = "Use another key, or ask for rights"
_WAIT: Final = "Wait for `Retry-After`, then send it again"
_ASK: Final = "Try once more, then report the `request_id`"
_ADVICE: Final = {
    **dict.fromkeys((400, 404, 405, 406, 408, 409, 413, 415, 422, 431, 499), _FIX_REQUEST),
    **dict.fromkeys((401, 403), _FIX_CREDENTIAL),
    **dict.fromkeys((429, 503), _WAIT),
    **dict.fromkeys((500, 504), _ASK),
}
"""What a caller can do, by status; a new status must be given a line here."""
_LIST_WIDTH: Final = 240
_KIBIBYTE: Final = 1024
_SIZES: Final = ("bytes", "KiB", "MiB", "GiB")


def settings_table() -> str:
    """List every setting: its variable, its default and its docstring."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", _default(field), " ".join((field.description or "").split()))
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def settings_list() -> str:
    """Name every setting with its default, in one paragraph."""
    names = (
        f"`{PREFIX}{name.upper()}` ({_default(field).partition(' (')[0].strip('`')})"
        for name, field in Settings.model_fields.items()
    )
    return textwrap.fill(", ".join(names), _LIST_WIDTH, break_on_hyphens=False) + "\n"


def codes_table() -> str:
    """List every code by what a caller can do about it, which follows from its status."""
    cells: dict[str, dict[str, None]] = {advice: {} for advice in _ADVICE.values()}
    for row in sorted((*TABLE, UNEXPECTED), key=lambda row: row.status):
        cells[_ADVICE[row.status]][f"{row.status} `{row.code}`"] = None
    rows = [(advice, ", ".join(codes)) for advice, codes in cells.items()]
    return _table(("what to do", "status and code"), rows)


def errors_table() -> str:
    """List every code with its meaning and the error classes that it stands for."""
    meanings: dict[tuple[int, str, str], list[str]] = {}
    for row in sorted((*TABLE, UNEXPECTED), key=lambda row: (row.status, row.code)):
        classes = meanings.setdefault((row.status, row.code, row.title), [])
        classes += [name for name in _leaves(row) if name not in classes]
    rows = [
        (str(status), f"`{code}`", title, ", ".join(f"`{name}`" for name in classes))
        for (status, code, title), classes in meanings.items()
    ]
    return _table(("status", "code", "title", "raised in the code as"), rows)


def metrics_table() -> str:
    """List every metric with its labels."""
    rows = [
        (
            f"`{metric.name}{'_total' if metric.kind is Kind.COUNTER else ''}`",
            metric.kind.value,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in CATALOGUE
    ]
    return _table(("name", "kind", "labels", "meaning"), rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "settings-list": settings_list,
    "codes": codes_table,
    "errors": errors_table,
    "metrics": metrics_table,
}


def render(page: str) -> str:
    """Return a page with every generated table written anew.

    Raises:
        KeyError: a marker names no table.
    """
    return _BLOCK.sub(
        lambda block: f"{block['begin']}{TABLES[block['name']]()}{block['end']}", page
    )


def names_in(page: str) -> list[str]:
    """List the tables that a page has markers for."""
    return [block["name"] for block in _BLOCK.finditer(page)]


def stale_pages(root: Path = ROOT) -> dict[Path, str]:
    """Return what should stand in each page that differs from it."""
    pages = {root / name: (root / name).read_text(encoding="utf-8") for name in PAGES}
    wanted = {path: render(page) for path, page in pages.items()}
    return {path: page for path, page in wanted.items() if page != pages[path]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, or say with status 1 which pages are stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    is_check: bool = parser.parse_args(arguments).check
    stale = stale_pages()
    for path, page in stale.items():
        if not is_check:
            path.write_text(page, encoding="utf-8")
        verb = "is stale: run `make docs`" if is_check else "is written anew"
        sys.stderr.write(f"{path.relative_to(ROOT)} {verb}\n")
    return 1 if stale and is_check else 0


def _leaves(row: Row) -> list[str]:
    """Name the classes that a line stands for: those without subclasses of their own."""
    if row is UNEXPECTED:
        return ["every other exception"]
    if not row.error.__module__.startswith(("auth", "gateway", "inference")):
        return [row.error.__name__]
    below = [
        kind for child in row.error.__subclasses__() for kind in (child, *child.__subclasses__())
    ]
    return sorted(kind.__name__ for kind in below if not kind.__subclasses__()) or [
        row.error.__name__
    ]


def _default(field: FieldInfo) -> str:
    value: object = field.get_default()
    if value is None or value == "" or isinstance(value, SecretStr):
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value and value % _KIBIBYTE == 0:
        return f"`{value}` ({_size(value)})"
    return f"`{value}`"


def _size(value: int) -> str:
    unit = 0
    while value % _KIBIBYTE == 0 and unit + 1 < len(_SIZES):
        value //= _KIBIBYTE
        unit += 1
    return f"{value} {_SIZES[unit]}"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    sys.exit(main())
