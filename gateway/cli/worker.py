"""One worker of `tollgate serve`, started by the supervisor as ``python -m gateway.cli.worker``."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Final

from auth.actor import system
from gateway.cli.bootstrap import tell_first_token
from gateway.cli.failures import USER_ERRORS, one_line
from gateway.cli.server import run_server
from gateway.data_folder import keep_new_files_private
from gateway.observability.board import Board
from gateway.observability.log_lines import STANDARD_ERROR
from gateway.services import Services
from gateway.settings import load_settings
from gateway.supervisor.occupancy import Occupancy, Place
from gateway.supervisor.worker_process import FAILED, PREPARED, READY

_ORPHAN_SECONDS: Final = (2.0, 6.0)


def main() -> None:
    """Serve on an inherited socket, and tell the supervisor how the start goes.

    The arguments are file descriptors: the socket, a pipe that breaks when the supervisor is gone,
    a pipe for the reports, the memory that says how busy the workers are, and the one that requests
    are counted in (-1: none); then a place in the first.
    """
    keep_new_files_private()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listener, lifeline, reports, occupancy, board, place, number = map(int, sys.argv[1:8])
    for descriptor in (listener, lifeline, reports, occupancy, board):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the system's own
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True, name="lifeline").start()

    def report(step: str, **members: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(reports, json.dumps({"step": step, **members}).encode() + b"\n")

    async def announce(services: Services) -> None:
        # Threat: a log is kept, and whoever reads it would make himself an admin.
        if os.isatty(STANDARD_ERROR):
            await tell_first_token(services.engine, actor=system("serve"))
        report(READY, models=sorted({model.name for model in services.registry.models()}))

    try:
        settings = load_settings()
        run_server(
            settings,
            socket.socket(fileno=listener),
            on_prepared=lambda: report(PREPARED),
            on_ready=announce,
            idle_seconds=settings.drain_seconds,
            share=Place(Occupancy(occupancy), place),
            board=Board(board) if board >= 0 else None,
            worker=number,
        )
    except USER_ERRORS as error:
        report(FAILED, reason=one_line(error))
        sys.exit(1)


def _end_with(lifeline: int) -> None:
    """End when the supervisor is gone, however it went.

    Nothing is waited for as long as usual, and whatever hangs ends all the same, so that a new
    server finds the folder free.
    """
    os.read(lifeline, 1)
    for seconds in _ORPHAN_SECONDS:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
    os._exit(1)


if __name__ == "__main__":
    main()
