"""The generated tables are what the code says, and every page is up to date."""

from pathlib import Path

import pytest

from docs import generate
from gateway.problems import TABLE, UNEXPECTED
from gateway.settings import PREFIX, Settings
from tests.unit.gateway.test_problems import leaf_errors

README = (generate.ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (generate.ROOT / "docs/settings.md").read_text(encoding="utf-8")
METRICS = (generate.ROOT / "docs/metrics.md").read_text(encoding="utf-8")
ERRORS = (generate.ROOT / "docs/errors.md").read_text(encoding="utf-8")
PAGES = (README, SETTINGS, METRICS, ERRORS)


def test_no_page_is_stale() -> None:
    """Whoever changes a setting or an error runs `make docs`."""
    assert list(generate.stale_pages()) == []


def test_pages_hold_every_table() -> None:
    """A table that no page shows would be up to date for nobody."""
    shown = [name for page in PAGES for name in generate.names_in(page)]
    assert sorted(shown) == sorted(generate.TABLES)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_listed_with_a_meaning(name: str) -> None:
    """A setting without a docstring is found here, not by an operator."""
    assert f"`{PREFIX}{name.upper()}`" in README
    assert len(_cells(name)[2]) > 20


@pytest.mark.parametrize("kind", leaf_errors(), ids=lambda kind: kind.__name__)
def test_every_leaf_error_is_listed(kind: type[Exception]) -> None:
    """What the code can raise at a caller, the list of errors names."""
    assert f"`{kind.__name__}`" in ERRORS


@pytest.mark.parametrize("code", sorted({row.code for row in (*TABLE, UNEXPECTED)}))
def test_readme_lists_the_code(code: str) -> None:
    """A client's author finds every code without reading ours."""
    assert f"`{code}`" in README


def test_secret_has_no_default_to_show() -> None:
    """A default in the table would be a secret that everybody knows."""
    assert _cells("key_pepper")[1] == "unset"


def test_check_fails_on_a_stale_page(tmp_path: Path) -> None:
    """A page that lacks a line is told apart from a page that has it."""
    (tmp_path / "docs").mkdir()
    stale = generate.render(README).replace("`TOLLGATE_PORT`", "`TOLLGATE_PROT`")
    (tmp_path / "README.md").write_text(stale)
    (tmp_path / "docs/errors.md").write_text(generate.render(ERRORS))
    (tmp_path / "docs/metrics.md").write_text(generate.render(METRICS))
    (tmp_path / "docs/settings.md").write_text(generate.render(SETTINGS))
    assert list(generate.stale_pages(tmp_path)) == [tmp_path / "README.md"]


def test_marker_of_an_unknown_table_is_an_error() -> None:
    """A misspelt marker does not stay empty in silence."""
    with pytest.raises(KeyError):
        generate.render("<!-- generated: nothing -->\n<!-- end -->")


def _cells(setting: str) -> list[str]:
    """Split the line of a setting in the table of settings."""
    begin = f"| `{PREFIX}{setting.upper()}` |"
    line = next(line for line in SETTINGS.splitlines() if line.startswith(begin))
    return [cell.strip() for cell in line.split("|")[1:-1]]
