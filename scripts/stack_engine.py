"""Run docker compose for the stack, and wait until its services are well."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEALTHY_SECONDS = 300.0
_POLL_SECONDS = 0.5
_LOG_LINES = "30"
_REASON_LINES = 3


class StackFailed(Exception):
    """The stack cannot be brought up; the message says why and what to do."""


@dataclass(frozen=True)
class Container:
    """One container of the project, as the engine sees it."""

    service: str
    state: str
    health: str
    exit_code: int

    @property
    def is_well(self) -> bool:
        """Tell whether it is healthy, or did its one job."""
        if self.state == "exited":
            return self.exit_code == 0
        return self.state == "running" and self.health in ("healthy", "")

    @property
    def is_lost(self) -> bool:
        """Tell whether waiting for it is of no use."""
        return self.state in ("dead", "exited") and self.exit_code != 0

    def __str__(self) -> str:
        """Say how it is, in a word."""
        if self.state == "exited":
            return f"{self.service} {'done' if self.exit_code == 0 else 'failed'}"
        return f"{self.service} {self.health or self.state}"


def check_engine() -> None:
    """Pass if docker and its compose plugin are there and the engine answers.

    Raises:
        StackFailed: saying what is missing.
    """
    if shutil.which("docker") is None:
        raise StackFailed(
            "docker is not installed: the stack needs Docker Engine 25 or later with the compose "
            "plugin (https://docs.docker.com/engine/install). `make run` serves without it"
        )
    for command, missing in (
        (("compose", "version"), "docker has no compose plugin: install docker-compose-plugin"),
        (("info",), "the docker engine does not answer: is it started, and may you use it?"),
    ):
        done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackFailed(f"{missing}\n{_end_of(done.stderr)}")


def compose(*arguments: str, is_quiet: bool = False) -> str:
    """Run docker compose in the repository and return what it printed, when it is quiet.

    Raises:
        StackFailed: it failed; what it said is in the message or on the terminal.
    """
    done = subprocess.run(
        ["docker", "compose", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=is_quiet,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = _end_of(done.stderr) if is_quiet else ""
        raise StackFailed(f"docker compose {arguments[0]} failed\n{said}".strip())
    return done.stdout or ""


def read_configuration() -> dict[str, Any]:
    """Read the compose file with every variable filled in, as docker compose understands it."""
    document: dict[str, Any] = json.loads(compose("config", "--format", "json", is_quiet=True))
    return document


def count_cores() -> int:
    """Ask the engine how many cores it may give away."""
    done = subprocess.run(
        ["docker", "info", "--format", "{{.NCPU}}"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def option_words(name: str) -> list[str]:
    """Read more words for docker from the environment, such as ``--pull never``."""
    return os.environ.get(name, "").split()


def list_containers() -> list[Container]:
    """List the project's containers, ended ones included."""
    lines = compose("ps", "--all", "--format", "json", is_quiet=True).splitlines()
    return [_container(json.loads(line)) for line in lines if line.strip()]


def wait_until_well(tell: Callable[[str], None]) -> None:
    """Wait until every service is healthy or done, and tell what is still awaited.

    Raises:
        StackFailed: a service ended, or time is up; with the end of its log.
    """
    deadline = time.monotonic() + HEALTHY_SECONDS
    told = ""
    while True:
        containers = list_containers()
        awaited = [container for container in containers if not container.is_well]
        if containers and not awaited:
            return
        line = ", ".join(str(container) for container in awaited)
        if line and line != told:
            tell(line)
            told = line
        lost = [container for container in awaited if container.is_lost]
        if lost or time.monotonic() > deadline:
            raise StackFailed(f"not healthy: {line}\n{log_of(lost or awaited)}")
        time.sleep(_POLL_SECONDS)


def log_of(containers: list[Container]) -> str:
    """Read the end of the logs of some services."""
    names = [container.service for container in containers]
    return compose("logs", "--no-color", "--tail", _LOG_LINES, *names, is_quiet=True)


def _container(document: dict[str, Any]) -> Container:
    return Container(
        service=document["Service"],
        state=document["State"],
        health=document.get("Health", ""),
        exit_code=document.get("ExitCode", 0),
    )


def _end_of(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_REASON_LINES:])
