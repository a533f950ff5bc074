"""The command loads what the chosen subcommand needs, and says the same as if it had all of it."""

import os
import subprocess
import sys

import pytest
import typer

from gateway.cli.program import SUBCOMMANDS, build_program
from tests.unit.gateway.cli.terminal import ROOT, Terminal

HEAVY = ("fastapi", "onnx", "onnxruntime", "numpy", "sqlalchemy", "pydantic")
_LOADED_AFTER = f"""
import atexit, sys
from gateway.cli import main
atexit.register(lambda: print(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr))
main(sys.argv[1:])
"""


def loaded_by(terminal: Terminal, *arguments: str) -> set[str]:
    """Run the command apart and name the heavy packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED_AFTER, *arguments],
        cwd=ROOT,
        env=os.environ | terminal.settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stderr.split())


def test_help_loads_nothing_heavy(terminal: Terminal) -> None:
    """Who asks what there is does not wait for a model server."""
    assert loaded_by(terminal, "--help") == set()


@pytest.mark.parametrize("command", [("keys", "--help"), ("keys", "list", "platform"), ("usage",)])
def test_commands_on_records_load_no_server_and_no_models(
    migrated: Terminal, command: tuple[str, ...]
) -> None:
    """They are run in scripts, many times."""
    assert loaded_by(migrated, *command) == {"sqlalchemy", "pydantic"}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_summary_is_what_the_command_says(name: str) -> None:
    """The list of commands is written apart from them, and says the same."""
    group = typer.main.get_group(build_program(name))
    command = group.commands[name]
    assert (command.help or "").startswith(SUBCOMMANDS[name].summary)


@pytest.mark.parametrize("chosen", [None, *SUBCOMMANDS])
def test_every_subcommand_is_listed_once(chosen: str | None) -> None:
    """Whichever is loaded, the others are still there."""
    group = typer.main.get_group(build_program(chosen))
    assert sorted(group.commands) == sorted(SUBCOMMANDS)


def test_misspelt_command_is_told(terminal: Terminal) -> None:
    """The names are known without loading the commands."""
    refused = terminal.run("key")
    assert refused.status == 2
    assert "No such command" in refused.err


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("serve",), ("--host HOST", "--port PORT", "--data-dir PATH")),
        (("keys", "rotate"), ("TENANT_ID", "KEY_ID", "--overlap-seconds SECONDS")),
        (("plans", "show"), ("PLAN_ID",)),
        (("check",), ("PATH",)),
        (("usage",), ("--from MOMENT", "--tenant-id TENANT_ID")),
    ],
)
def test_help_names_what_is_wanted(
    terminal: Terminal, command: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    """A reader learns what to put there, not which type Python gives it."""
    text = terminal.run(*command, "--help").out
    assert [word for word in shown if word not in text] == []
