"""Run the command: quickly in this process, or as users do in a process of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

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
        """Run `tollgate` in this process; what it does not foresee is raised here."""
        out, err = io.StringIO(), io.StringIO()
        mask = os.umask(0o022)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.settings.items():
                patch.setenv(name, value)
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                pytest.raises(SystemExit) as exit_,
            ):
                main(arguments)
        os.umask(mask)
        return Finished(int(exit_.value.code or 0), out.getvalue(), err.getvalue())

    def run_apart(self, *arguments: str, umask: int = 0o022) -> Finished:
        """Run `tollgate` in a process of its own, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            cwd=ROOT,
            env=os.environ | self.settings,
            umask=umask,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)
