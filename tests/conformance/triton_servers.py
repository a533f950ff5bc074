"""Servers for `tritonclient`, without TLS and behind Nginx, and the run of its own program."""

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.fronted import NO_ADDRESS_LIMITS, running_front
from tests.population import make_caller, make_plan, make_tenant
from tests.serving import ROOT, Server, free_port

Order = dict[str, Any]
"""What the program is told: where to ask, with which key, and whom to trust."""

Orders = dict[str, Order]
"""One for HTTP and one for gRPC."""

Results = dict[str, Any]

_PYTHON: Final = ROOT / ".venv" / "clients" / "bin" / "python"
_MAX_BODY_BYTES: Final = "2000000"


def ask_triton(protocol: str, order: Order, *, asynchronous: bool) -> Results:
    """Run the stock client of a protocol to its end."""
    done = subprocess.run(
        [_PYTHON, ROOT / "tests" / "clients" / f"triton_{protocol}.py"],
        input=json.dumps(order | {"asynchronous": asynchronous}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: Results = json.loads(done.stdout)
    return results


def serve_plainly(folder: Path, repository: Path, stack: ExitStack) -> Orders:
    """Serve the models without TLS, and tell where."""
    grpc_port = str(free_port())
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_MAX_BODY_BYTES": _MAX_BODY_BYTES,
        "TOLLGATE_GRPC_PORT": grpc_port,
    }
    server = Server(folder, free_port(), settings=settings)
    server.start()
    stack.callback(server.stop)
    ports = {"http": server.port, "grpc": grpc_port}
    common = {"key": server.demo["api_key"], "ca": ""}
    return {name: {"url": f"127.0.0.1:{port}"} | common for name, port in ports.items()}


def serve_through_nginx(folder: Path, repository: Path, stack: ExitStack) -> Orders:
    """Serve the models through Nginx, over TLS, and tell where."""
    settings = {
        "model_repository": str(repository),
        "max_body_bytes": _MAX_BODY_BYTES,
        "grpc_port": "1",
    }
    nginx = NO_ADDRESS_LIMITS | {"TOLLGATE_MAX_BODY_BYTES": _MAX_BODY_BYTES}
    front = stack.enter_context(running_front(folder, settings=settings, nginx=nginx))
    tenant_id = make_tenant(front.stack, make_plan(front.stack))
    order = {
        "url": front.nginx.url.removeprefix("https://"),
        "key": make_caller(front.stack, tenant_id, scopes=["predict", "models:read"]).api_key,
        "ca": str(front.nginx.certificates.authority),
    }
    return {"http": order, "grpc": order}


SERVED: Final[Mapping[str, Callable[[Path, Path, ExitStack], Orders]]] = MappingProxyType(
    {"plain": serve_plainly, "TLS through Nginx": serve_through_nginx}
)
