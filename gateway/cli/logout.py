"""`tollgate logout`: end the session that was kept."""

from http import HTTPStatus

import typer

from gateway.cli.console import Json, show_json
from gateway.cli.login import Url
from gateway.cli.session_client import check_url, send
from gateway.cli.session_file import read_sessions, write_sessions
from gateway.errors import LogInFailed


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("logout")(log_out)


def log_out(*, url: Url, as_json: Json = False) -> None:
    """End the session that `tollgate login` has kept.

    Example: tollgate logout --url https://tollgate.example
    """
    server = check_url(url)
    sessions = read_sessions()
    kept = sessions.servers.get(server)
    if kept is None or kept.session_token is None:
        raise LogInFailed(f"there is no session with {server}")
    try:
        send("DELETE", f"{server}/v1/sessions/{kept.session_id}", token=kept.session_token)
    except LogInFailed as error:
        if error.status != HTTPStatus.UNAUTHORIZED:  # else it had ended already
            raise
    ended = kept.model_copy(update={"session_id": None, "session_token": None})
    sessions.servers[server] = ended
    write_sessions(sessions)
    if as_json:
        show_json({"session_id": kept.session_id, "revoked": True})
    else:
        typer.echo(f"logged out of {server}")
