"""Run the command as a user does, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON
        """Read what `--json` printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A shell with settings of its own."""

    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> Finished:
        """Run `tollgate` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            cwd=ROOT,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | self.settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)
