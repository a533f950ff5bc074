"""What an intruder, or a curious colleague, finds in the containers and in the image: nothing."""

import gzip
import re
import tarfile
from pathlib import Path

import pytest

from tests.compose.composed_stack import SERVICES, ComposedStack

pytestmark = pytest.mark.stack

NOT_SECRET = {"ca.pem", "server.pem"}
NO_CAPABILITY = "0000000000000000"
MARK_CHARACTERS = 24
GZIP = b"\x1f\x8b"


def marks_of(stack: ComposedStack) -> dict[str, str]:
    """Cut the secret part out of every file of secrets, as long as nothing else looks like it."""
    files = [path for path in stack.secrets.rglob("*") if path.is_file()]
    texts = {path.name: path.read_text() for path in files if path.name not in NOT_SECRET}
    texts |= {name: value for name, value in stack.demo.items() if name.endswith("_key")}
    words = {name: re.split(r"[\s/:@\"]+", text) for name, text in texts.items()}
    return {name: max(parts, key=len)[-MARK_CHARACTERS:] for name, parts in words.items()}


def marks_in(text: str, stack: ComposedStack) -> list[str]:
    """Name the secrets that a text tells."""
    return [name for name, mark in marks_of(stack).items() if mark in text]


def content_of(blob: Path) -> bytes:
    """Read a file of a saved image, unpacked where the engine packs its layers."""
    content = blob.read_bytes()
    return gzip.decompress(content) if content.startswith(GZIP) else content


@pytest.mark.parametrize("service", [*SERVICES, "migrate"])
def test_engine_tells_no_secret(stack: ComposedStack, service: str) -> None:
    """`docker inspect` shows environment, command and mounts to whoever may ask."""
    assert marks_in(str(stack.inspect(service)), stack) == []


def test_history_of_the_image_tells_no_secret(stack: ComposedStack) -> None:
    """It keeps the arguments and the commands of the build."""
    assert marks_in(stack.docker("history", "--no-trunc", stack.image), stack) == []


def test_layers_of_the_image_hold_no_secret(stack: ComposedStack, tmp_path: Path) -> None:
    """Also none that a later layer covers."""
    stack.docker("save", "--output", str(tmp_path / "image.tar"), stack.image)
    with tarfile.open(tmp_path / "image.tar") as image:
        image.extractall(tmp_path / "image", filter="data")
    blobs = [path for path in (tmp_path / "image").rglob("*") if path.is_file()]
    marks = {name: mark.encode() for name, mark in marks_of(stack).items()}
    for blob in blobs:
        content = content_of(blob)
        assert not [name for name, mark in marks.items() if mark in content]
    assert any(b"opt/tollgate" in content_of(blob) for blob in blobs)


@pytest.mark.parametrize("service", [*SERVICES, "migrate"])
def test_log_tells_no_secret(stack: ComposedStack, service: str) -> None:
    """Logs are copied to places that nobody guards."""
    log = stack.compose("logs", "--no-color", service)
    assert marks_in(log, stack) == []
    assert "tg_boot_" not in log


@pytest.mark.parametrize("service", SERVICES)
def test_service_runs_without_root_and_rights(stack: ComposedStack, service: str) -> None:
    """Its first process is no root, has no capability and can gain none."""
    status = stack.execute(service, "cat", "/proc/1/status")
    pairs = (line.partition(":") for line in status.splitlines())
    fields = {name: value.split() for name, _, value in pairs}
    assert "0" not in fields["Uid"]
    assert fields["CapEff"] == fields["CapBnd"] == [NO_CAPABILITY]
    assert fields["NoNewPrivs"] == ["1"]


@pytest.mark.parametrize("service", SERVICES)
def test_root_filesystem_cannot_be_written(stack: ComposedStack, service: str) -> None:
    """Nothing can be left behind for the next start."""
    assert stack.inspect(service)["HostConfig"]["ReadonlyRootfs"] is True
    command = "touch /opt/x /usr/x /etc/x 2>&1 | grep -c 'Read-only file system'"
    assert stack.execute(service, "sh", "-c", command).strip() == "3"


def test_only_nginx_is_published(stack: ComposedStack) -> None:
    """Every other service is reached through it or not at all."""
    published = {
        service: [
            port for port in stack.inspect(service)["NetworkSettings"]["Ports"].values() if port
        ]
        for service in SERVICES
    }
    assert {service for service, ports in published.items() if ports} == {"nginx"}
    assert {entry["HostIp"] for ports in published["nginx"] for entry in ports} == {"127.0.0.1"}
