"""Every block of every page is run, parsed, or says why not; and what a page names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation import Block, Session, read_blocks, reader_environment
from tests.postgres_server import environment_of
from tests.serving import ROOT, Server, free_port

PAGES = sorted(
    ["README.md", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
)
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
NOT_RUN = {"README.md": 1, "docs/protocols.md": 1, "docs/operations.md": 6}
"""How many blocks of each page are not run; a new one must be put here, and be agreed to."""
PAGE_LINES = 150
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
_TEST_PATH = re.compile(r"\btests/[\w/]+(?:\.py)?\b")

per_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture
def reader(own_server: Server, empty_postgres: str, tmp_path: Path) -> Iterator[Session]:
    """Someone in a clone of the repository in which `make run` runs for the first time."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name, target in {"var": own_server.data_dir, "examples": ROOT / "examples"}.items():
        (clone / name).symlink_to(target)
    environment = reader_environment(
        TOLLGATE_PORT=str(free_port()), **environment_of(empty_postgres)
    )
    session = Session(clone, environment)
    yield session
    session.close()


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page)])
def test_page_does_what_it_says(page: str, reader: Session) -> None:
    """Each block works when the ones before it were done, and prints what the page shows."""
    for block in read_blocks(page):
        reader.take(block)


@per_page
def test_every_fence_is_understood(page: str) -> None:
    """A fence without an info string, or an unclosed one, would be skipped in silence."""
    fences = re.findall(r"^\s*(?:```|~~~)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(read_blocks(page))


def test_blocks_that_are_not_run_are_counted() -> None:
    """Nobody gets round the tests by a word in an info string."""
    found: dict[str, int] = {}
    for block in BLOCKS:
        if block.reason_not_run is not None:
            found[block.page] = found.get(block.page, 0) + 1
    assert found == NOT_RUN


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.is_answer], ids=str)
def test_answer_follows_what_prints_it(block: Block) -> None:
    """An answer is compared only where something was run just before it."""
    page = read_blocks(block.page)
    before = page[page.index(block) - 1]
    assert before.language in ("bash", "python")
    assert before.reason_not_run is None


@per_page
def test_links_lead_somewhere(page: str) -> None:
    """A page that was moved takes its links with it."""
    content = (ROOT / page).read_text(encoding="utf-8")
    folder = (ROOT / page).parent
    assert [link for link in _LINK.findall(content) if not (folder / link).exists()] == []


@per_page
def test_named_tests_exist(page: str) -> None:
    """A promise whose test is gone is no promise."""
    content = (ROOT / page).read_text(encoding="utf-8")
    assert [path for path in _TEST_PATH.findall(content) if not (ROOT / path).exists()] == []


def test_readme_is_one_sitting() -> None:
    """A reader decides on it in a few minutes."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= PAGE_LINES
