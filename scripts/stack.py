"""Bring the stack of docker-compose.yml up with a demo tenant, or take it down: `make stack`."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.stack_demo import FILE_NAME, Door, curl_line, find_example, prepare_demo
from scripts.stack_engine import (
    ROOT,
    StackFailed,
    check_engine,
    compose,
    count_cores,
    list_containers,
    log_of,
    option_words,
    read_configuration,
    wait_until_well,
)
from scripts.stack_secrets import make_secrets

AUTHORITY = "ca.pem"
_TLS_FOLDER = "/etc/tollgate/tls"
_CORES = "STACK_GATEWAY_CPUS=1.0"
_OPEN_FOLDER = 0o755
_OPEN_FILE = 0o444


class Place:
    """What the compose file says, with all variables filled in, that matters outside of it."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        nginx = configuration["services"]["nginx"]
        [tls] = [each["source"] for each in nginx["volumes"] if each["target"] == _TLS_FOLDER]
        self.certificates = Path(tls)
        self.secrets = Path(configuration["secrets"]["database_url"]["file"]).parent
        self.names = nginx["environment"]["NGINX_SERVER_NAMES"].split()
        authority = self.certificates / AUTHORITY
        port = nginx["environment"]["NGINX_PUBLIC_PORT"]
        self.door = Door(f"https://{self.names[0]}:{port}", authority)

    @classmethod
    def read(cls) -> "Place":
        """Ask docker compose."""
        return cls(read_configuration())


def main() -> int:
    """Do what the command line says; exit 1 with a sentence where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m scripts.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    chosen = parser.parse_args()
    try:
        check_engine()
        if chosen.command == "up":
            bring_up()
        else:
            compose("--profile", "*", "down", *option_words("STACK_DOWN_OPTIONS"))
    except StackFailed as failure:
        tell(f"stack: {failure}")
        return 1
    return 0


def bring_up() -> None:
    """Build, start, wait, make the demo's keys and print a request that works."""
    make_environment_file()
    place = Place.read()
    if made := make_secrets(place.secrets):
        tell(f"made in {place.secrets}: {', '.join(made)}")
    make_certificates(place)
    tell("building the image")
    compose("build", *option_words("STACK_BUILD_OPTIONS"))
    tell("starting")
    start()
    tell("all services are well")
    document = prepare_demo(place.secrets / FILE_NAME, place.door, run_tollgate)
    tell(greeting(document, place.door))


def start() -> None:
    """Start what does not run and wait until all is well.

    Raises:
        StackFailed: with the end of the logs of what is not.
    """
    try:
        compose("up", "--detach", "--no-build", *option_words("STACK_UP_OPTIONS"))
    except StackFailed as failure:
        ill = [container for container in list_containers() if not container.is_well]
        raise StackFailed(f"{failure}\n{log_of(ill)}") from None
    wait_until_well(tell)


def make_environment_file() -> None:
    """Start from the example's values, with as many cores as the engine has; an own .env stays."""
    path = ROOT / ".env"
    if path.exists() or os.environ.get("COMPOSE_DISABLE_ENV_FILE"):
        return
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    path.write_text(example.replace(_CORES, f"STACK_GATEWAY_CPUS={count_cores()}"))
    tell("made .env from .env.example")


def make_certificates(place: Place) -> None:
    """Make certificates for development where the folder has none; real ones stay.

    Threat: nginx's user in the container must read the key, so its file is open to all. That is
    done only where the closed folder of the secrets is around it.

    Raises:
        StackFailed: the folder is a place for real ones, and empty.
    """
    folder = place.certificates
    if folder.is_dir() and any(folder.iterdir()):
        return
    if place.secrets not in folder.parents:
        raise StackFailed(f"{folder} is empty: put server.pem and server.key there")
    script = ROOT / "scripts" / "dev-certificates.sh"
    subprocess.run([script, folder, *place.names], check=True, cwd=ROOT)
    folder.chmod(_OPEN_FOLDER)
    (folder / "server.key").chmod(_OPEN_FILE)


def run_tollgate(*words: str) -> Any:  # noqa: ANN401 - whatever the command prints
    """Run a command of ours in the gateway's container."""
    return json.loads(compose("exec", "-T", "gateway", "tollgate", *words, "--json", is_quiet=True))


def greeting(document: dict[str, Any], door: Door) -> str:
    """Say what can be done now."""
    lines = [f"Tollgate is on {door.url}; the keys are in {FILE_NAME} beside the secrets.", ""]
    if example := find_example(door, document["api_key"]):
        model, body = example
        path = f"/v1/models/{model}:predict"
        line = curl_line(door, path, key=document["api_key"], body=body)
        lines += ["Ask for a prediction:", "", f"  {line}", ""]
    line = curl_line(door, "/v1/usage", key=document["billing_key"])
    return "\n".join([*lines, "Read the bill:", "", f"  {line}", ""])


def tell(text: str) -> None:
    """Speak to whoever runs this."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
