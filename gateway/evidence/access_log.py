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


def read_access_logs(paths: Iterable[Path], tell: Callable[[str], None]) -> Iterator[LogLine]:
    """Read predictions from logs, of which some may be rotated and compressed.

    A last line that is cut, as of a log that is being written, is passed over.

    Raises:
        EvidenceUnreadable: a line is none of such a log.
        OSError: a file cannot be read.
    """
    read = 0
    for path in paths:
        with open_text(path) as file:
            for number, text in enumerate(file, 1):
                read += 1
                if read % _TOLD_EVERY == 0:
                    tell(f"{read} lines of the proxy's log so far")
                if not text.endswith("\n"):
                    continue
                try:
                    found = _read(json.loads(text))
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise EvidenceUnreadable(
                        f"{path}: line {number} is none of Nginx's log in our form"
                    ) from None
                if found is not None:
                    yield found


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
    )
