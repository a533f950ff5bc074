"""The product as it is sold: workers of the gateway on a unix socket, and Nginx before them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.nginx_server import NginxServer, running_nginx
from tests.stack import Stack, running_stack

NO_ADDRESS_LIMITS = {
    "NGINX_ADDRESS_RATE": "1000000",
    "NGINX_ADDRESS_BURST": "1000000",
    "NGINX_ADDRESS_CONNECTIONS": "10000",
}
"""Where all of a load comes from one address."""


@dataclass(frozen=True)
class Front:
    """An nginx and the gateway behind it."""

    nginx: NginxServer
    stack: Stack


@contextlib.contextmanager
def running_front(
    folder: Path, *, workers: int = 1, settings: dict[str, str] | None = None, **nginx: str
) -> Iterator[Front]:
    """Run both for the length of a block: settings for the gateway, keywords for nginx."""
    (folder / "gateway").mkdir()
    (folder / "nginx").mkdir()
    with (
        running_stack(folder / "gateway", workers=workers, **(settings or {})) as stack,
        running_nginx(folder / "nginx", stack.unix_socket, **nginx) as running,
    ):
        yield Front(running, stack)
