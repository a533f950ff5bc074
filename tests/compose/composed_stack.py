"""Run `make stack` as its users do, in a project with a name, ports and secrets of its own.

What an engine needs beyond that comes from the environment and is passed on: `COMPOSE_FILE` with a
file of overrides, `STACK_BUILD_OPTIONS`, `STACK_UP_OPTIONS` (such as `--pull never`).
"""

import http.client
import json
import os
import shlex
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.serving import ROOT, free_port

SERVICES: Final = ("gateway", "nginx", "postgres", "redis")
PATIENCE_SECONDS: Final = 120.0
_UP_SECONDS: Final = 900.0
_COMMAND_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_KILL: Final = "import os, sys; os.kill(int(sys.argv[1]), 9)"


@dataclass(frozen=True)
class Answer:
    """One answer of the stack: status, headers in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever was answered
        """Parse the body."""
        return json.loads(self.body)


class ComposedStack:
    """A project of docker compose that can be brought up, looked into, harmed and removed."""

    def __init__(self, folder: Path) -> None:
        self.secrets = folder / "secrets"
        self.image = f"tollgate:test-{os.getpid()}"
        self.port = free_port()
        self.printed = ""
        self._environment = os.environ | {
            "COMPOSE_DISABLE_ENV_FILE": "1",
            "COMPOSE_PROJECT_NAME": f"tollgate-test-{os.getpid()}",
            "COMPOSE_PROGRESS": "plain",
            "STACK_VERSION": self.image.partition(":")[2],
            "STACK_SECRETS": str(self.secrets),
            "STACK_TLS": str(self.secrets / "tls"),
            "STACK_HTTPS_PORT": str(self.port),
            "STACK_HTTP_PORT": str(free_port()),
        }

    @property
    def url(self) -> str:
        """Name the door that is published."""
        return f"https://localhost:{self.port}"

    @property
    def demo(self) -> dict[str, Any]:
        """Read the keys that were made."""
        document: dict[str, Any] = json.loads((self.secrets / "demo.json").read_text())
        return document

    @property
    def example(self) -> list[str]:
        """Return the words of the curl line that asks for a prediction."""
        [line] = [line for line in self.printed.splitlines() if ":predict" in line]
        return shlex.split(line)

    def up(self) -> None:
        """Run `make stack` and keep what it printed."""
        self.printed = self._run(["make", "stack"], timeout=_UP_SECONDS)

    def down(self) -> None:
        """Run `make stack-down`; the volumes stay."""
        self._run(["make", "stack-down"])

    def remove(self) -> None:
        """Remove everything that was made: containers, networks, volumes and the image."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        self.docker("image", "rm", "--force", self.image)

    def compose(self, *arguments: str) -> str:
        """Run docker compose on the project."""
        return self._run(["docker", "compose", *arguments])

    def docker(self, *arguments: str) -> str:
        """Run docker."""
        return self._run(["docker", *arguments])

    def execute(self, service: str, *words: str) -> str:
        """Run a command in a service's container and return what it printed."""
        return self.compose("exec", "-T", service, *words)

    def inspect(self, service: str) -> dict[str, Any]:
        """Ask the engine all about a service's container, also one that ended."""
        identity = self.compose("ps", "--all", "--quiet", service).strip()
        [document] = json.loads(self.docker("inspect", identity))
        found: dict[str, Any] = document
        return found

    def kill(self, service: str) -> None:
        """End the first process of a service with SIGKILL, as a crash would.

        The signal comes from a container in the engine's own process namespace, so that this works
        wherever the engine runs; `docker kill` would count as wanted, and nothing would restart.
        """
        pid = self.inspect(service)["State"]["Pid"]
        rights = ["--pid=host", "--user=0", "--cap-drop=ALL", "--cap-add=KILL", "--network=none"]
        python = ["--entrypoint=python", self.image, "-I", "-S", "-c", _KILL, str(pid)]
        self.docker("run", "--rm", *rights, *python)

    def restarts(self, service: str) -> int:
        """Count how often the engine started a service's container again."""
        count: int = self.inspect(service)["RestartCount"]
        return count

    def is_healthy(self, service: str) -> bool:
        """Tell whether a service runs and is well."""
        state = self.inspect(service)["State"]
        is_well: bool = state["Running"] and state["Health"]["Status"] == "healthy"
        return is_well

    def wait_until(self, condition: Callable[[], bool], wanted: str) -> None:
        """Wait for something to be seen; fail with what was wanted and the logs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                logs = self.compose("logs", "--no-color", "--tail", "30")
                raise AssertionError(f"{wanted}: not within {PATIENCE_SECONDS} s\n{logs}")
            time.sleep(_POLL_SECONDS)

    def connect(self) -> http.client.HTTPSConnection:
        """Open a connection to nginx that trusts the stack's own authority and no other."""
        context = ssl.create_default_context(cafile=str(self.secrets / "tls" / "ca.pem"))
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=context)

    def call(self, path: str, key: str, body: bytes | None = None) -> Answer:
        """Send one request on a connection of its own."""
        connection = self.connect()
        try:
            return send(connection, path, key, body=body)
        finally:
            connection.close()

    def usage(self) -> int:
        """Read how many requests are on the bill."""
        answer = self.call("/v1/usage", self.demo["billing_key"])
        assert answer.status == 200, answer.body
        return sum(entry["requests"] for entry in answer.document["data"])

    def ledger(self) -> list[str]:
        """List the request ids on the bill, as PostgreSQL has them."""
        query = "SELECT request_id FROM usage_records WHERE corrects = ''"
        return self.execute("postgres", "psql", "-U", "tollgate", "-Atc", query).split()

    def _run(self, command: list[str], timeout: float = _COMMAND_SECONDS) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def send(
    connection: http.client.HTTPSConnection, path: str, key: str, *, body: bytes | None = None
) -> Answer:
    """Send one request and read its answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, body=body, headers=headers)
    response = connection.getresponse()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, names, response.read())
