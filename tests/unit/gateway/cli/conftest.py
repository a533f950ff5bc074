"""A terminal over a fresh data folder."""

from pathlib import Path

import pytest

from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.routes.doubling import write_doubling_model


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal whose settings name a data folder and a repository of this test alone."""
    write_doubling_model(tmp_path / "models" / "double")
    return Terminal(
        {
            "TOLLGATE_DATA_DIR": str(tmp_path / "var"),
            "TOLLGATE_MODEL_REPOSITORY": str(tmp_path / "models"),
        }
    )


@pytest.fixture
def migrated(terminal: Terminal) -> Terminal:
    """The same, with the database made."""
    assert terminal.run("migrate").status == 0
    return terminal
