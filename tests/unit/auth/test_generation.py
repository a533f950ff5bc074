"""The change counter that processes share."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from auth.generation import Generation


def test_bump_is_seen_through_another_mapping(tmp_path: Path) -> None:
    """A writer's bump reaches a reader that has the file open already."""
    reader, writer = Generation(tmp_path / "g"), Generation(tmp_path / "g")
    writer.bump()
    assert reader.value == 1
    reader.close()
    writer.close()


def test_count_outlives_the_process(tmp_path: Path) -> None:
    """Opening the file again does not set it back."""
    first = Generation(tmp_path / "g")
    first.bump()
    first.close()
    second = Generation(tmp_path / "g")
    assert second.value == 1
    second.close()


def test_no_bump_is_lost_between_threads_and_processes(tmp_path: Path) -> None:
    """Bumps at the same time all count."""
    generation = Generation(tmp_path / "g")
    program = (
        "import sys, pathlib; from auth.generation import Generation\n"
        "g = Generation(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(500): g.bump()"
    )
    root = Path(__file__).parents[3]
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "g")], cwd=root)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(500):
            threads.submit(generation.bump)
    assert other.wait() == 0
    assert generation.value == 1000
    generation.close()


def test_file_is_private(tmp_path: Path) -> None:
    """Nobody else may stop a server from noticing changes."""
    Generation(tmp_path / "g").close()
    assert (tmp_path / "g").stat().st_mode & 0o777 == 0o600
