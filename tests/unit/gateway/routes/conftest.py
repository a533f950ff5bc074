"""The app that these tests talk to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.cli.migrate import bring_up_to_date
from gateway.settings import Settings
from tests.unit.gateway.routes.control_plane import ControlPlane, open_control_plane
from tests.unit.gateway.routes.doubling import write_doubling_model
from tests.verdicts import share_verdicts

LEAST_KIBIBYTES = 12_288
"""As quick as a password can be hashed."""


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a server with a data folder, two tiny models and a database of its own."""
    models = tmp_path / "models"
    for name in ("double", "secret-sauce"):
        write_doubling_model(models / name)
    return Settings(
        data_dir=share_verdicts(tmp_path / "var"),
        model_repository=models,
        database_url=SecretStr(database_url),
        password_memory_kibibytes=LEAST_KIBIBYTES,
        log_ins_per_minute=1000,
    )


@pytest.fixture
async def plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """The running app with an admin and two customers."""
    await bring_up_to_date(settings)
    async with open_control_plane(settings) as control_plane:
        yield control_plane
