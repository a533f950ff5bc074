"""Name who is measured, and how each is started."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import MODELS, Case
from benchmarks.heavy_model import NAME as HEAVY
from benchmarks.heavy_model import write_heavy_repository
from benchmarks.processes import ServerCommand
from benchmarks.tollgate_keys import create_keys, tollgate_command

BARE, TUTORIAL, TOLLGATE = "bare", "tutorial", "tollgate"
UNBATCHED = "tollgate, no batching"
NAMES = (BARE, TUTORIAL, TOLLGATE)
_BATCH_ROWS = 64
_UVICORN = (
    "--factory --host 127.0.0.1 --port {port} --loop uvloop --http httptools --lifespan off "
    "--no-access-log --log-level warning"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A server, the model that it is asked for, and the keys that open it."""

    name: str
    model: str
    command: ServerCommand
    keys: Path | None = None


def build_targets(names: list[str], cases: list[Case], folder: Path) -> list[Target]:
    """Prepare the servers that the cases need, in the order in which they take turns."""
    models = {case.model for case in cases}
    targets = []
    if models - {HEAVY}:
        targets += [_uvicorn(name) for name in (BARE, TUTORIAL) if name in names]
    if TOLLGATE in names:
        targets += _tollgates(models, folder)
    return targets


def _uvicorn(name: str) -> Target:
    app = f"benchmarks.{name}_app:create_app"
    arguments = (sys.executable, "-m", "uvicorn", app, *_UVICORN.split())
    return Target(name, "housing", ServerCommand(arguments))


def _tollgates(models: set[str], folder: Path) -> list[Target]:
    """Set Tollgate up once, with the keys; the heavy model has repositories of its own."""
    keys = create_keys(folder)
    targets = []
    if models - {HEAVY}:
        targets.append(Target(TOLLGATE, "housing", tollgate_command(folder, MODELS), keys))
    if HEAVY in models:
        for name, rows in ((TOLLGATE, _BATCH_ROWS), (UNBATCHED, 1)):
            repository = folder / f"heavy-{rows}"
            write_heavy_repository(repository, max_batch_size=rows)
            targets.append(Target(name, HEAVY, tollgate_command(folder, repository), keys))
    return targets
