"""The proxy's log is read line by line, whole, rotated or being written."""

import gzip
import json
from pathlib import Path

import pytest

from gateway.errors import EvidenceUnreadable
from gateway.evidence.access_log import LogLine, read_access_logs
from gateway.evidence.reconcile import ignore_progress

GRPC = "/inference.GRPCInferenceService/ModelInfer"


def line(**members: object) -> str:
    """Write a line as Nginx does."""
    written = {
        "time": "2026-11-20T10:00:00+01:00",
        "request_id": "a",
        "path": "/v1/models/housing:predict",
        "status": 200,
        "units": "3",
        "grpc_status": "",
        "replay_of": "",
    }
    return json.dumps(written | members) + "\n"


def read(folder: Path, *lines: str) -> list[LogLine]:
    """Read a log of these lines."""
    path = folder / "access.log"
    path.write_text("".join(lines))
    return list(read_access_logs([path], ignore_progress))


def test_line_of_an_answer(tmp_path: Path) -> None:
    """The moment is read with its offset."""
    assert read(tmp_path, line()) == [
        LogLine("a", 1_795_165_200_000_000, status=200, units=3, is_answered=True)
    ]


@pytest.mark.parametrize(
    ("members", "is_answered"),
    [
        ({"path": "/v2/models/housing/infer"}, True),
        ({"path": "/v1/models/housing%3Apredict"}, True),
        ({"path": GRPC, "grpc_status": "0"}, True),
        ({"path": GRPC, "grpc_status": "8", "units": ""}, False),
        ({"status": 429, "units": ""}, False),
        ({"status": 499, "units": ""}, False),
        ({"replay_of": "b"}, False),
    ],
    ids=str,
)
def test_answer_is_a_success_that_is_billed(
    tmp_path: Path, members: dict[str, object], *, is_answered: bool
) -> None:
    """Over gRPC the status is in a trailer; what was answered before costs nothing again."""
    [found] = read(tmp_path, line(**members))
    assert found.is_answered is is_answered


def test_other_requests_are_passed_over(tmp_path: Path) -> None:
    """And so is a last line that is being written."""
    assert read(tmp_path, line(path="/v1/usage"), line(path="[credential]"), line()[:40]) == []


def test_rotated_logs_are_read_together(tmp_path: Path) -> None:
    """Compressed ones by their names."""
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(line(request_id="old").encode()))
    (tmp_path / "access.log").write_text(line(request_id="new"))
    paths = [tmp_path / "access.log.2.gz", tmp_path / "access.log"]
    found = [one.request_id for one in read_access_logs(paths, ignore_progress)]
    assert found == ["old", "new"]


@pytest.mark.parametrize(
    "broken", ["GET / HTTP/1.1 200\n", "[]\n", '{"path": "/v1/models/m:predict"}\n']
)
def test_other_log_is_told_with_its_line(tmp_path: Path, broken: str) -> None:
    """It would otherwise be taken for a log without predictions."""
    with pytest.raises(EvidenceUnreadable, match="line 2"):
        read(tmp_path, line(), broken)


@pytest.mark.parametrize(
    ("members", "is_broken"),
    [
        ({"status": 504, "upstream_header_seconds": "-"}, True),
        ({"status": 504, "upstream_header_seconds": "0.002"}, False),
        ({"status": 504, "upstream_header_seconds": "-, 0.002"}, False),
        ({"status": 502, "upstream_header_seconds": "-"}, True),
        ({"status": 502, "upstream_header_seconds": "-", "upstream_connect_seconds": "-"}, False),
        ({"status": 502}, True),
        ({"status": 504}, False),
        ({"status": 504, "path": GRPC}, True),
        ({"status": 503, "upstream_header_seconds": "-"}, False),
    ],
    ids=str,
)
def test_broken_is_what_a_worker_had_and_never_answered(
    tmp_path: Path, members: dict[str, object], *, is_broken: bool
) -> None:
    """A log of old does not tell whose a 504 was; the gateway's comes first."""
    [found] = read(tmp_path, line(**{"upstream_connect_seconds": "0.000", "units": ""} | members))
    assert found.is_broken is is_broken
