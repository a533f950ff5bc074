"""Run the pages as their readers would: one block after the other, against a real server.

The info string of a fenced block says what happens to it:

- ``bash`` runs under ``bash -euo pipefail``; later blocks of the page have its functions and what
  it exports.
- ``bash background`` starts a server that runs until the end of the page.
- ``python`` runs as a script with the same environment.
- ``answer`` (``json answer``, ``text answer``) is what the block before it prints; ``...`` in it
  stands for anything.
- ``toml``, ``json`` are parsed; ``toml model.toml`` must be a contract that the repository takes.
- ``text output`` and ``text diagram`` are not run. ``not-run="REASON"`` is not run for that reason.
"""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.manifest import parse_manifest
from tests.serving import ROOT

_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_ANYTHING = "..."
_BLOCK_SECONDS = 120.0
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_RELATIVE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, what it is and what it holds."""

    page: str
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        """Name the first word of the info string."""
        return self.info.split()[0]

    @property
    def is_answer(self) -> bool:
        """Tell whether it shows what the block before it prints."""
        return self.info.endswith(" answer")

    @property
    def reason_not_run(self) -> str | None:
        """Say why it is not run, if it says so."""
        found = re.search(r'not-run="([^"]+)"', self.info)
        return None if found is None else found[1]

    def __str__(self) -> str:
        """Name the place."""
        return f"{self.page}:{self.line}"


def read_blocks(page: str) -> list[Block]:
    """List the fenced blocks of a page."""
    content = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, content.count("\n", 0, found.start()) + 1, found["info"], found["text"])
        for found in _FENCE.finditer(content)
    ]


@dataclass
class Session:
    """A reader at work in a folder, with an environment that blocks add to."""

    folder: Path
    environment: dict[str, str]
    printed: str = ""
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def take(self, block: Block) -> None:
        """Do with a block what its info string says."""
        if block.reason_not_run is not None:
            return
        if block.is_answer:
            check_answer(block, self.printed)
        elif block.info == "bash background":
            self._start(block)
        elif block.language == "bash":
            self._run_bash(block)
        elif block.language == "python":
            self.printed = self._run(block, [sys.executable, "-c", block.text])
        else:
            check_syntax(block)

    def close(self) -> None:
        """Stop what the page started."""
        for server in self.servers:
            server.terminate()
            server.wait(_START_SECONDS)

    def _run_bash(self, block: Block) -> None:
        exported = self.folder / ".exported"
        script = (
            "touch .functions; source .functions\n"
            f"trap 'declare -f > .functions; env -0 > {exported.name}' EXIT\n{block.text}"
        )
        self.printed = self._run(block, ["bash", "-euo", "pipefail", "-c", script])
        names = (entry.partition("=") for entry in exported.read_text().split("\0") if entry)
        self.environment = {name: value for name, _, value in names if name != "_"}

    def _run(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=_BLOCK_SECONDS,
        )
        assert done.returncode == 0, f"{block}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, block: Block) -> None:
        with (self.folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", f"exec {block.text}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.servers.append(server)
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(f"http://127.0.0.1:{self.environment['TOLLGATE_PORT']}"):
            assert server.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, f"{block}: not ready"
            time.sleep(_POLL_SECONDS)


def reader_environment(**variables: str) -> dict[str, str]:
    """Build the environment of a reader who has activated `.venv` and set nothing of ours."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")
    }
    programs = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    places = {"PATH": programs, "PYTHONPATH": str(ROOT), "TOLLGATE_GRPC_PORT": "0"}
    return inherited | places | variables


def check_answer(block: Block, printed: str) -> None:
    """Compare what a block shows with what the one before it printed."""
    if block.language == "json":
        shown, real = _documents(block.text), _documents(printed)
        assert is_alike(shown, real), f"{block}: the answer is\n{printed}"
        return
    pattern = re.escape(_without_padding(block.text)).replace(re.escape(_ANYTHING), ".*")
    is_shown = re.fullmatch(pattern, _without_padding(printed), re.DOTALL)
    assert is_shown, f"{block}: it is\n{printed}"


def check_syntax(block: Block) -> None:
    """Parse a block that is data."""
    if block.language == "json":
        json.loads(block.text)
    elif block.info == "toml model.toml":
        parse_manifest("documented", block.text.encode())
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        assert block.info in ("text output", "text diagram"), f"{block}: what is {block.info!r}?"


def is_alike(shown: object, real: object) -> bool:
    """Compare JSON values; `...` is anything, and prices may differ by a rounding."""
    if shown == _ANYTHING:
        return True
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(is_alike(shown[key], real[key]) for key in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(is_alike, shown, real))
    if isinstance(shown, float) and isinstance(real, float):
        return abs(shown - real) <= _RELATIVE_TOLERANCE * abs(real)
    return type(shown) is type(real) and shown == real


def _documents(text: str) -> list[Any]:
    decoder, documents, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        documents.append(document)
        rest = rest[end:].strip()
    return documents


def _without_padding(text: str) -> str:
    """Take one blank for many, since the columns of a table are as wide as the ids in them."""
    return re.sub(r"[ \t\r]+", " ", text).replace(" \n", "\n").strip()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz/ready", timeout=5) as answer:  # noqa: S310 - own
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
