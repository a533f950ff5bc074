"""The bare app of the Open Inference Protocol answers rightly, in both forms."""

from pathlib import Path

import pytest

from benchmarks.cases import CASES
from benchmarks.measurement import check_answer
from benchmarks.stack import running_target
from benchmarks.targets import BARE, build_targets


@pytest.mark.parametrize("model", ["housing", "image"])
def test_bare_app_answers_rightly(tmp_path: Path, model: str) -> None:
    """Every body gets the predictions that Tollgate must give too, as JSON and as bytes."""
    cases = [case for case in CASES if case.model == model and case.protocol != "V1"]
    [target] = build_targets([BARE], cases, tmp_path)
    with running_target(target, tmp_path / "log") as server:
        for case in cases:
            check_answer(case, target, server)
