"""`tollgate demo`: a server with a plan, a tenant and keys, ready for the first request."""

import asyncio
import shlex
from pathlib import Path
from typing import Final

import orjson
import typer

from gateway.cli.console import Json, show_json
from gateway.cli.demo_tenant import DemoDocument, prepare_demo, write_demo
from gateway.cli.migrate import bring_up_to_date
from gateway.cli.serve import DataDir, Host, ModelRepository, Port, with_options
from gateway.cli.server import run_server
from gateway.data_folder import claimed_data_dir
from gateway.observability.listener import metrics_board
from gateway.services import Services
from gateway.settings import Settings, load_settings
from gateway.supervisor.grpc_address import holding_grpc_port
from gateway.supervisor.listening import check_servable, listen, url_of

FILE_NAME = "demo.json"
ONE_PROCESS_ON_A_PORT: Final = {"workers": 1, "replicas": 1, "unix_socket": None}


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("demo")(demo)


def demo(
    *,
    host: Host = None,
    port: Port = None,
    model_repository: ModelRepository = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Serve a demo tenant and print a request that works.

    The keys are written to demo.json in the data folder; a second start uses them again.

    Example: tollgate demo --port 8000
    """
    settings = with_options(
        load_settings(),
        host=host,
        port=port,
        model_repository=model_repository,
        data_dir=data_dir,
    ).model_copy(update=ONE_PROCESS_ON_A_PORT)
    check_servable(settings)
    with claimed_data_dir(settings.data_dir):
        _serve_demo(settings, as_json=as_json)


def _serve_demo(settings: Settings, *, as_json: bool) -> None:
    listener = listen(settings)
    url = url_of(listener)
    asyncio.run(bring_up_to_date(settings))
    path = settings.data_dir / FILE_NAME

    async def announce(services: Services) -> None:
        document = await prepare_demo(services, url=url, path=path)
        write_demo(path, document)
        if as_json:
            show_json(document.model_dump(mode="json"))
        else:
            typer.echo(_greeting(document, path))

    with holding_grpc_port(settings), metrics_board(settings) as board:
        run_server(settings, listener, on_ready=announce, board=board)


def curl_line(document: DemoDocument) -> str:
    """Write a request that works when pasted into a shell."""
    body = orjson.dumps(document.example).decode()
    return (
        f"curl -sS {document.url}/v1/models/{document.model}:predict "
        f"-H {shlex.quote(f'Authorization: Bearer {document.api_key}')} "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )


def _greeting(document: DemoDocument, path: Path) -> str:
    usage = (
        f"curl -sS {document.url}/v1/usage "
        f"-H {shlex.quote(f'Authorization: Bearer {document.billing_key}')}"
    )
    return "\n".join(
        (
            f"Tollgate serves {document.model} on {document.url}; API pages: {document.url}/docs",
            f"Keys and an example are in {path}. Ask for a prediction:",
            "",
            f"  {curl_line(document)}",
            "",
            "and read the bill:",
            "",
            f"  {usage}",
            "",
        )
    )
