"""Who is measured at what, and that the stack around a target is the one it names."""

from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.measurement import check_answer
from benchmarks.processes import cpu_seconds
from benchmarks.stack import running_target
from benchmarks.targets import BARE, BARE_TLS, TUTORIAL, Target, build_targets

BY_NAME = {case.name: case for case in CASES}


def _targets(*names: str, folder: Path) -> dict[str, Target]:
    return {one.name: one for one in build_targets(list(names), list(CASES), folder)}


def test_only_what_was_asked_for_takes_its_turn(tmp_path: Path) -> None:
    """In the order of the table, whatever the order of the arguments."""
    assert list(_targets(BARE_TLS, BARE, folder=tmp_path)) == [BARE, BARE_TLS]


def test_stack_is_measured_at_few_cases(tmp_path: Path) -> None:
    """The rows of a hundred bodies tell nothing about TLS."""
    targets = _targets(TUTORIAL, BARE_TLS, folder=tmp_path)
    assert targets[TUTORIAL].serves(BY_NAME["rows256"])
    assert targets[BARE_TLS].serves(BY_NAME["c64"])
    assert not targets[BARE_TLS].serves(BY_NAME["rows256"])


def test_target_behind_tls_is_reached_through_nginx(tmp_path: Path) -> None:
    """It answers rightly over https, and the work of Nginx counts as its own."""
    target = _targets(BARE_TLS, folder=tmp_path)[BARE_TLS]
    with running_target(target, tmp_path / "log") as server:
        assert server.url.startswith("https://")
        check_answer(BY_NAME["c64"], target, server)
        assert len(server.pids) == 2
        assert cpu_seconds(server.pids) > 0
