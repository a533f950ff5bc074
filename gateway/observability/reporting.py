"""Put together what an operator chose to see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.observability.access_log import AccessLog, JsonAccess, TextAccess
from gateway.observability.board import Board
from gateway.observability.catalogue import CATALOGUE
from gateway.observability.log_lines import is_json
from gateway.observability.log_writer import LogWriter
from gateway.observability.meter import Meter
from gateway.observability.observer import RequestObserver
from gateway.observability.request_counts import RequestCounts
from gateway.observability.service_watch import watching
from gateway.observability.traces import Traces, open_traces
from gateway.services import Services
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Reporting:
    """How one process tells what it does."""

    observer: RequestObserver
    meter: Meter | None = None
    writer: LogWriter | None = None
    traces: Traces | None = None

    @contextlib.asynccontextmanager
    async def watching(self, services: Services) -> AsyncIterator[None]:
        """Take the counts of the services over until the block ends; then send the traces."""
        async with contextlib.AsyncExitStack() as stack:
            if self.traces is not None:
                stack.push_async_callback(asyncio.to_thread, self.traces.close)
            if self.meter is not None:
                await stack.enter_async_context(watching(self.meter, services, self.writer))
            yield


SILENT = Reporting(RequestObserver())
"""Nothing is told, as in tests of other things."""


def start_reporting(settings: Settings, writer: LogWriter, *, board: Board | None) -> Reporting:
    """Begin to observe requests; `board` is None where nobody reads metrics."""
    meter = None if board is None else Meter(board.claim(), CATALOGUE)
    access_format = JsonAccess() if is_json(settings) else TextAccess()
    traces = open_traces(settings)
    observer = RequestObserver(
        counts=None if meter is None else RequestCounts(meter),
        access_log=AccessLog(writer, access_format) if settings.access_log else None,
        traces=traces,
        trusts_proxy=settings.trusts_proxy,
    )
    return Reporting(observer, meter, writer, traces)
