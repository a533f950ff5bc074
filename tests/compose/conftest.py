"""One stack for all tests of this folder: building and starting it takes a minute."""

from collections.abc import Iterator

import pytest

from scripts.stack_engine import check_engine
from tests.compose.composed_stack import ComposedStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposedStack]:
    """Bring the stack up, and leave nothing of it behind."""
    check_engine()
    composed = ComposedStack(tmp_path_factory.mktemp("stack"))
    try:
        composed.up()
        yield composed
    finally:
        composed.remove()
