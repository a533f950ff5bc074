"""Start what stands around a server: the Redis that it counts in, and the Nginx in front of it."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.processes import RunningServer, running
from benchmarks.targets import Target
from tests.nginx_server import running_nginx
from tests.redis_server import running_redis

_NO_ADDRESS_LIMITS = {
    "NGINX_ADDRESS_RATE": "1000000",
    "NGINX_ADDRESS_BURST": "1000000",
    "NGINX_ADDRESS_CONNECTIONS": "10000",
}
"""All load comes from one address."""


@contextlib.contextmanager
def running_target(target: Target, log: Path) -> Iterator[RunningServer]:
    """Run a target with its services for the length of a block; their work counts as its own.

    Raises:
        ServerFailed: the server did not come up.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-bench-")))
        places, helpers = {}, []
        if target.has_redis:
            redis = stack.enter_context(running_redis(folder))
            places["redis"] = redis.url
            helpers.append(redis.pid)
        if target.has_tls:
            places["socket"] = str(folder / "server.sock")
        server = stack.enter_context(running(target.command, log, places=places))
        if server.socket is not None:
            nginx = stack.enter_context(running_nginx(folder, server.socket, **_NO_ADDRESS_LIMITS))
            authority = nginx.certificates.authority
            helpers.append(nginx.pid)
            server = replace(server, url=nginx.url, socket=None, authority=authority)
        yield replace(server, pids=(*server.pids, *helpers))
