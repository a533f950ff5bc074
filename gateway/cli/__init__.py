"""The `tollgate` command."""

from gateway.cli.program import main

__all__ = ["main"]
