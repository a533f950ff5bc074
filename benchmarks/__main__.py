"""Measure Tollgate against a bare app and a tutorial app (``make bench``).

The servers take turns on the same cores, round after round (a b c a b c ...), so that a noisy
minute hurts all of them; the table shows medians. Everything listens on loopback and is stopped at
the end.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import report
from benchmarks.cases import CASES, Case
from benchmarks.measurement import Measurement, measure_case, take_medians
from benchmarks.processes import ServerFailed
from benchmarks.stack import running_target
from benchmarks.targets import NAMES, Target, build_targets
from benchmarks.tollgate_tokens import write_tokens
from benchmarks.wrk import WrkUnavailable, require_wrk


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit status says whether the figures can be trusted."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parse(arguments)
    try:
        require_wrk()
        with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
            measurements = _measure_all(options, Path(folder))
    except (WrkUnavailable, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; every server was stopped", file=sys.stderr)
        return 130
    return _report(options, measurements)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [case.name for case in CASES]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="cases to measure (default: all)"
    )
    parser.add_argument(
        "--targets", nargs="+", choices=NAMES, default=list(NAMES), help="servers (default: all)"
    )
    parser.add_argument(
        "--seconds", type=_positive, default=6, help="load per case and round (default: 6)"
    )
    parser.add_argument("--rounds", type=_positive, default=3, help="turns taken (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round of 2 seconds")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("var/bench.json"),
        help="JSON file to write (default: var/bench.json)",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 2, 1
    return options


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 3600:  # noqa: PLR2004 -- an hour is surely a typing error's bound
        raise argparse.ArgumentTypeError("must be from 1 to 3600")
    return number


def _measure_all(options: argparse.Namespace, folder: Path) -> list[Measurement]:
    """Let the servers take turns; one case after the other within a turn."""
    cases = [case for case in CASES if case.name in options.only]
    targets = build_targets(options.targets, cases, folder)
    if not targets:
        raise ServerFailed("none of these targets serves these cases")
    measurements = []
    for turn in range(options.rounds):
        for target in targets:
            print(f"round {turn + 1}/{options.rounds}: {target.name}, {target.model}", flush=True)
            own = [case for case in cases if target.serves(case)]
            measurements += _measure_target(target, own, seconds=options.seconds, folder=folder)
    return measurements


def _measure_target(
    target: Target, cases: list[Case], *, seconds: int, folder: Path
) -> list[Measurement]:
    with running_target(target, folder / "server.log") as server:
        if target.clients is not None and target.keys is not None:
            write_tokens(server, target.clients, target.keys)
        return [
            measure_case(case, target, server, seconds=seconds, folder=folder) for case in cases
        ]


def _report(options: argparse.Namespace, measurements: list[Measurement]) -> int:
    medians = take_medians(measurements)
    settings = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "machine": report.describe_machine(len(os.sched_getaffinity(0))),
    }
    document = report.build_document(measurements, medians, settings)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\n{report.render_markdown(medians)}\n\nWrote {options.output}")
    errors = sum(one.errors for one in medians)
    if errors:
        print(f"error: {errors} requests failed; do not trust these figures", file=sys.stderr)
    return 1 if errors else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Let SIGTERM unwind like Ctrl-C, so that servers are stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
