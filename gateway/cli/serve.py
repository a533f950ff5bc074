"""`tollgate serve`: run the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.console import Json, show_json
from gateway.data_folder import claimed_data_dir
from gateway.observability.listener import metrics_board
from gateway.observability.log_lines import start_log
from gateway.settings import Settings, environment_with, load_settings
from gateway.supervisor.grpc_address import grpc_target, holding_grpc_port
from gateway.supervisor.listening import check_servable, listening, url_of
from gateway.supervisor.supervisor import Announce, supervise

Host = Annotated[
    str | None, typer.Option(metavar="HOST", help="Address to listen on, instead of TOLLGATE_HOST.")
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help="Port to listen on, instead of TOLLGATE_PORT; 0: any.",
    ),
]
UnixSocket = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Unix socket for the proxy, instead of host and port."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=64, metavar="COUNT", help="Processes, instead of TOLLGATE_WORKERS."),
]
ModelRepository = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Models, instead of TOLLGATE_MODEL_REPOSITORY.")
]
DataDir = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Data folder, instead of TOLLGATE_DATA_DIR.")
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Listen beyond loopback although there is no TLS here."),
]


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("serve")(serve)


def serve(
    *,
    host: Host = None,
    port: Port = None,
    unix_socket: UnixSocket = None,
    workers: Workers = None,
    model_repository: ModelRepository = None,
    data_dir: DataDir = None,
    insecure: Insecure = False,
    as_json: Json = False,
) -> None:
    """Serve the models of the repository until a signal says stop.

    SIGTERM lets requests in progress finish, SIGHUP changes the workers one by one.

    Example: TOLLGATE_DATA_DIR=/srv/tollgate tollgate serve --port 8000
    """
    options = given(
        host=host,
        port=port,
        unix_socket=unix_socket,
        workers=workers,
        model_repository=model_repository,
        data_dir=data_dir,
        allow_plaintext=insecure or None,
    )
    settings = load_settings().model_copy(update=options)
    check_servable(settings)
    start_log(settings)
    with (
        listening(settings) as listener,
        holding_grpc_port(settings),
        claimed_data_dir(settings.data_dir),
        metrics_board(settings) as board,
    ):
        supervise(
            settings,
            listener,
            environment=environment_with(**options),
            announce=_announcer(url_of(listener), grpc_target(settings), as_json=as_json),
            board=board,
        )


def _announcer(url: str, target: str, *, as_json: bool) -> Announce:
    """Return what tells that all workers serve; `target` is empty where gRPC has no port."""

    def announce(models: Sequence[str]) -> None:
        if as_json:
            show_json({"url": url, "grpc": target, "models": models})
            return
        place = f"{url}, gRPC on {target}" if target else url
        typer.echo(f"Tollgate serves {', '.join(models) or 'no model'} on {place}")

    return announce


def with_options(settings: Settings, **options: Any) -> Settings:  # noqa: ANN401 - typed by typer
    """Replace the settings that were given as options."""
    return settings.model_copy(update=given(**options))


def given(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - typed by typer
    """Return the options that were given; None was not."""
    return {name: value for name, value in options.items() if value is not None}
