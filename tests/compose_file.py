"""Read docker-compose.yml and .env.example as their readers do, without an engine."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
COMPOSE_FILE: Final = ROOT / "docker-compose.yml"
ENVIRONMENT_EXAMPLE: Final = ROOT / ".env.example"
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?::-(?P<default>[^}]*))?\}")
_READ_BY_COMPOSE: Final = "COMPOSE_"
_ONE_SHOT: Final = ("no", False)


def read_compose_file() -> dict[str, Any]:
    """Parse the file, anchors and merges resolved, variables left as they are."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return document


def read_services() -> dict[str, dict[str, Any]]:
    """List the services by name."""
    services: dict[str, dict[str, Any]] = read_compose_file()["services"]
    return services


def variables_of_compose_file() -> dict[str, set[str]]:
    """Name each variable that the file reads, with every default that it gives it."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(COMPOSE_FILE.read_text(encoding="utf-8")):
        found.setdefault(match["name"], set()).add(match["default"])
    return found


def variables_of_example() -> dict[str, str]:
    """Name each variable that the example sets for the file, with its value."""
    lines = ENVIRONMENT_EXAMPLE.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs if not name.startswith(_READ_BY_COMPOSE)}


def is_one_shot(service: dict[str, Any]) -> bool:
    """Tell whether a service does one job and ends."""
    return service.get("restart") in _ONE_SHOT
