"""Ask people for secrets without showing them, and hash passwords as the server does."""

import sys
from typing import Annotated

import typer

from auth.errors import InvalidChange
from auth.passwords import PasswordHasher, check_password
from gateway.settings import load_settings

PasswordStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line of stdin."),
]


def ask_password(*, from_stdin: bool, is_new: bool = False) -> str:
    """Return a password: from a pipe, or typed without an echo and, if it is new, twice.

    Threat: as a word of the command it would stand in the shell's history, and in the list of
    processes that everybody on the machine can read.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=is_new, err=True)
    return answer


def ask_code() -> str | None:
    """Return the code of an authenticator as it is typed, None for an empty line."""
    answer: str = typer.prompt(
        "Code of your authenticator (empty if you have none)",
        default="",
        show_default=False,
        err=True,
    )
    return answer.strip() or None


def hash_new_password(password: str, *, username: str) -> str:
    """Return what is stored of a password that may be chosen.

    Raises:
        InvalidChange: it may not.
    """
    if not password:
        raise InvalidChange("is empty", "password")
    chosen = check_password(password, username=username)
    return PasswordHasher(memory_kibibytes=load_settings().password_memory_kibibytes).hash(chosen)
