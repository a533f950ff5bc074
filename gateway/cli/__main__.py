"""Run the `tollgate` command as `python -m gateway.cli`."""

from gateway.cli.program import main

main()
