"""`tollgate login`: open a session on a server with a password."""

from typing import Annotated, Final

import typer

from gateway.cli.console import Json, show_json
from gateway.cli.passwords import PasswordStdin, ask_code, ask_password
from gateway.cli.session_client import check_url, send
from gateway.cli.session_file import KeptSession, read_sessions, session_path, write_sessions

_SESSION_MEMBERS: Final = ("session_id", "session_token")

Url = Annotated[str, typer.Option("--url", metavar="URL", help="Server, as https://HOST.")]


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("login")(log_in)


def log_in(
    *,
    url: Url,
    username: Annotated[str, typer.Option(metavar="USERNAME", help="Name of the admin.")],
    totp: Annotated[
        str | None, typer.Option(metavar="CODE", help="Code of the authenticator, if there is one.")
    ] = None,
    device_token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Of `tollgate admin device`, instead of the kept one."),
    ] = None,
    password_stdin: PasswordStdin = False,
    print_token: Annotated[
        bool, typer.Option("--print", help="Print the session token and keep it nowhere.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Log in to a server and keep the session for this user.

    Example: tollgate login --url https://tollgate.example --username ada
    """
    server = check_url(url)
    password = ask_password(from_stdin=password_stdin)
    code = totp if totp is not None or password_stdin else ask_code()
    sessions = read_sessions()
    known = sessions.servers.get(server)
    if known is not None and known.username != username:
        known = None
    if device_token is None and known is not None:
        device_token = known.device_token
    shown = {"totp": code, "device_token": device_token}
    body: dict[str, object] = {"username": username, "password": password}
    body |= {name: value for name, value in shown.items() if value is not None}
    answer = send("POST", f"{server}/v1/sessions", body=body)
    session = {} if print_token else {name: answer[name] for name in _SESSION_MEMBERS}
    before = known or KeptSession(username=username, device_token="")
    renewed = session | {"device_token": answer["device_token"]}
    sessions.servers[server] = before.model_copy(update=renewed)
    write_sessions(sessions)
    if print_token:
        typer.echo(answer["session_token"])
    elif as_json:
        show_json({"session_id": answer["session_id"], "expires_at": answer["expires_at"]})
    else:
        typer.echo(f"logged in until {answer['expires_at']}; the session is in {session_path()}")
