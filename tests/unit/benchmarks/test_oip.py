"""The bare apps of the Open Inference Protocol answer rightly, in every form."""

from pathlib import Path

import pytest

from benchmarks.cases import CASES
from benchmarks.measurement import check_answer, measure_case
from benchmarks.stack import running_target
from benchmarks.targets import BARE, build_targets


@pytest.mark.parametrize("model", ["housing", "image"])
def test_bare_app_answers_rightly(tmp_path: Path, model: str) -> None:
    """Every body gets the predictions that Tollgate must give too: as JSON, as bytes, by gRPC."""
    cases = [case for case in CASES if case.model == model and case.protocol != "V1"]
    over_http, over_grpc = build_targets([BARE], cases, tmp_path)
    for target in (over_http, over_grpc):
        with running_target(target, tmp_path / "log") as server:
            for case in filter(target.serves, cases):
                check_answer(case, target, server)


def test_load_over_grpc_counts_what_it_sends(tmp_path: Path) -> None:
    """Every call of every caller is answered, and the server did the work."""
    [case] = [case for case in CASES if case.name == "grpc1"]
    [target] = build_targets([BARE], [case], tmp_path)
    with running_target(target, tmp_path / "log") as server:
        seen = measure_case(case, target, server, seconds=1, folder=tmp_path)
    assert seen.errors == 0
    assert seen.requests_per_second > 0
    assert seen.cpu_us_per_request > 0
