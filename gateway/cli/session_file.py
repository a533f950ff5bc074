"""Keep the sessions of `tollgate login` in one private file of the user."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from gateway.data_folder import PRIVATE_FOLDER


class KeptSession(BaseModel):
    """Hold what is kept of one server: the session, and by what this device is known there."""

    username: str
    session_id: str | None = None
    session_token: str | None = Field(default=None, repr=False)
    device_token: str = Field(repr=False)


class SessionFile(BaseModel):
    """The whole file, by the URL of the server."""

    servers: dict[str, KeptSession] = {}


def session_path() -> Path:
    """Name the file (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    return folder / "tollgate" / "sessions.json"


def read_sessions() -> SessionFile:
    """Read the file; one that is not there or broken is empty."""
    try:
        return SessionFile.model_validate_json(session_path().read_bytes())
    except (FileNotFoundError, ValidationError):
        return SessionFile()


def write_sessions(sessions: SessionFile) -> None:
    """Write the file whole or not at all, readable by its user only.

    Threat: it holds a session of an admin, so it is never, even for a moment, readable by others.
    """
    path = session_path()
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(sessions.model_dump_json(indent=2) + "\n")
    Path(name).replace(path)
