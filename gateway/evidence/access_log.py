"""Read what Nginx wrote of predictions (`nginx/templates/log.conf.template`), line by line."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from gateway.dataplane.paths import is_prediction
from gateway.errors import EvidenceUnreadable
from gateway.evidence.statement import open_text
from gateway.moments import microseconds

_GRPC: Final = "/inference.GRPCInferenceService/ModelInfer"
_OK: Final = 200
_GAVE_UP: Final = (502, 504)
_OWN_STATUS: Final = 504
_TOLD_EVERY: Final = 100_000


class LogLine(NamedTuple):
    """One request for a prediction, as the proxy saw it end."""

    request_id: str
    ended_at_us: int
    """The proxy writes whole seconds: it ended up to a second later."""

    status: int
    units: int | None
    """As our answer said; None where there was none, or the log is older than this member."""

    is_answered: bool
    """Whether the gateway answered it with success, and not as it had answered it before."""

    is_broken: bool = False
    """Whether a worker had it and the proxy never heard of it: what became of it nobody was told.
    """


def read_access_logs(paths: Iterable[Path], tell: Callable[[str], None]) -> Iterator[LogLine]:
    """Read predictions from logs, of which some may be rotated and compressed.

    A last line that is cut, as of a log that is being written, is passed over.

    Raises:
        EvidenceUnreadable: a line is none of such a log.
        OSError: a file cannot be read.
    """
    for read, (place, text) in enumerate(_lines(paths), 1):
        if read % _TOLD_EVERY == 0:
            tell(f"{read} lines of the proxy's log so far")
        found = _read_line(text, place)
        if found is not None:
            yield found


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Read the lines of files, each with the place where it stands."""
    for path in paths:
        with open_text(path) as file:
            for number, text in enumerate(file, 1):
                yield f"{path}: line {number}", text


def _read_line(text: str, place: str) -> LogLine | None:
    """Read one line; None where it is cut, or tells of no prediction.

    Raises:
        EvidenceUnreadable: it is none of such a log.
    """
    if not text.endswith("\n"):
        return None
    try:
        return _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EvidenceUnreadable(f"{place} is none of Nginx's log in our form") from None


def _read(members: dict[str, Any]) -> LogLine | None:
    path = unquote(str(members["path"]))
    is_grpc = path == _GRPC
    if not (is_grpc or is_prediction(path)):
        return None
    units = str(members.get("units", ""))
    status = int(members["status"])
    is_success = status == _OK and (not is_grpc or members.get("grpc_status") == "0")
    return LogLine(
        request_id=str(members["request_id"]),
        ended_at_us=microseconds(datetime.fromisoformat(members["time"])),
        status=status,
        units=int(units) if units else None,
        is_answered=is_success and not members.get("replay_of"),
        is_broken=status in _GAVE_UP and _is_broken(members, status, is_grpc=is_grpc),
    )


def _is_broken(members: dict[str, Any], status: int, *, is_grpc: bool) -> bool:
    """Say whether a 502 or 504 is the proxy's own, of a request that it had handed on.

    A log without `upstream_header_seconds` does not tell whose a 504 was. The gateway answers it
    before the proxy would, so there it is the gateway's; over gRPC the gateway has no such status.
    """
    if not _has_time(members.get("upstream_connect_seconds", "0")):
        return False
    header_seconds = members.get("upstream_header_seconds")
    if header_seconds is None:
        return status != _OWN_STATUS or is_grpc
    return not _has_time(header_seconds)


def _has_time(told: str) -> bool:
    """Say whether one of the tries in a variable of Nginx took a time; the others are dashes."""
    return any(character.isdigit() for character in told)
