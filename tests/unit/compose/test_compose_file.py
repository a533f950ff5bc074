"""The rules that every service of docker-compose.yml keeps."""

import re
from typing import Any

import pytest

from tests.compose_file import (
    is_one_shot,
    read_compose_file,
    read_services,
    variables_of_compose_file,
    variables_of_example,
)

SERVICES = read_services()
ON_LOOPBACK = re.compile(r"127\.0\.0\.1:|\$\{STACK_ADDRESS:-127\.0\.0\.1\}:")
SECRET = re.compile(r"password|secret|token|pepper|key|_url", re.IGNORECASE)
KEEPERS = ("postgres", "redis")

per_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


@per_service
def test_service_can_write_nowhere_but_to_its_volumes(service: dict[str, Any]) -> None:
    """What an intruder changes in a container is gone with it."""
    assert service["read_only"] is True


@per_service
def test_service_has_no_rights_to_lose(service: dict[str, Any]) -> None:
    """No capability is left and none can be gained."""
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service.get("user") not in ("root", "0")


@per_service
def test_service_is_bounded(service: dict[str, Any]) -> None:
    """One that runs wild takes neither the machine's memory, cores, processes nor disk."""
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert {"max-size", "max-file"} == service["logging"]["options"].keys()


@per_service
def test_service_tells_how_it_is_and_comes_back(service: dict[str, Any]) -> None:
    """The engine knows whether it is well; one that does a single job is not started again."""
    if is_one_shot(service):
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"


@per_service
def test_image_has_a_tag(service: dict[str, Any]) -> None:
    """What runs does not change by itself from one start to the next."""
    _, _, tag = service["image"].partition(":")
    assert tag
    assert tag != "latest"


@per_service
def test_no_secret_stands_in_the_environment(service: dict[str, Any]) -> None:
    """`docker inspect` shows the environment to whoever may ask the engine."""
    for name, value in service.get("environment", {}).items():
        if SECRET.search(name):
            assert name.endswith("_FILE"), name
            assert value.startswith("/run/secrets/"), name


@per_service
def test_what_is_published_is_on_loopback_unless_told(service: dict[str, Any]) -> None:
    """Nothing is open to the world by default."""
    assert all(ON_LOOPBACK.match(port) for port in service.get("ports", []))


def test_only_nginx_is_published() -> None:
    """Grafana is for this machine alone, in a profile that has to be asked for."""
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"nginx", "grafana"}
    assert SERVICES["grafana"]["profiles"] == ["observability"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["grafana"]["ports"])


@pytest.mark.parametrize("keeper", KEEPERS)
def test_records_are_out_of_reach_of_nginx(keeper: str) -> None:
    """Whoever takes over what faces the world still has no way to the records."""
    networks = read_compose_file()["networks"]
    assert SERVICES[keeper]["networks"] == ["records"]
    assert networks["records"]["internal"] is True
    assert not set(SERVICES["nginx"]["networks"]) & set(SERVICES["gateway"]["networks"])


def test_every_secret_is_a_file_that_some_service_reads() -> None:
    """None is declared for nothing, and none is mounted that is not declared."""
    declared = read_compose_file()["secrets"]
    read = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert read == declared.keys()
    assert all(entry["file"].startswith("${STACK_SECRETS:-") for entry in declared.values())


def test_every_variable_is_explained() -> None:
    """.env.example holds what the file reads and nothing else."""
    assert variables_of_example().keys() == variables_of_compose_file().keys()


def test_example_shows_the_defaults() -> None:
    """A copied .env.example changes nothing, and a variable has one default in all its places."""
    defaults = {name: {value} for name, value in variables_of_example().items()}
    assert variables_of_compose_file() == defaults


def test_first_token_is_in_no_log_of_the_engine() -> None:
    """Whoever may read logs would make himself an admin; `serve` shows it on a terminal alone."""
    assert SERVICES["migrate"]["command"] == ["migrate", "--no-token"]
    assert "tty" not in SERVICES["gateway"]


def test_workers_of_nginx_are_a_number() -> None:
    """`auto` counts the cores of the machine, not those that the container may use."""
    assert SERVICES["nginx"]["environment"]["NGINX_WORKERS"] == "${STACK_NGINX_WORKERS:-2}"


def test_redis_loses_nothing_by_itself() -> None:
    """It writes what it did to disk, and an evicted counter would start anew."""
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_gateway_starts_on_a_database_that_is_up_to_date() -> None:
    """It refuses any other, and would be started again for ever."""
    condition = SERVICES["gateway"]["depends_on"]["migrate"]["condition"]
    assert condition == "service_completed_successfully"
    assert SERVICES["migrate"]["image"] == SERVICES["gateway"]["image"]
