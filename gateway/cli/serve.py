"""`tollgate serve`: run the server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.console import Json, show_json
from gateway.cli.server import check_servable, listen, run_server, url_of
from gateway.services import Services
from gateway.settings import Settings, load_settings

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
    workers: Workers = None,
    model_repository: ModelRepository = None,
    data_dir: DataDir = None,
    insecure: Insecure = False,
    as_json: Json = False,
) -> None:
    """Serve the models of the repository until a signal says stop.

    Example: TOLLGATE_DATA_DIR=/srv/tollgate tollgate serve --port 8000
    """
    settings = with_options(
        load_settings(),
        host=host,
        port=port,
        workers=workers,
        model_repository=model_repository,
        data_dir=data_dir,
        allow_plaintext=insecure or None,
    )
    check_servable(settings)
    listener = listen(settings)
    url = url_of(listener)

    async def announce(services: Services) -> None:
        names = sorted({model.name for model in services.registry.models()})
        if as_json:
            show_json({"url": url, "models": names})
        else:
            typer.echo(f"Tollgate serves {', '.join(names) or 'no model'} on {url}")

    run_server(settings, listener, on_ready=announce)


def with_options(settings: Settings, **options: Any) -> Settings:  # noqa: ANN401 - typed by typer
    """Replace the settings that were given as options; None was not given."""
    given = {name: value for name, value in options.items() if value is not None}
    return settings.model_copy(update=given)
