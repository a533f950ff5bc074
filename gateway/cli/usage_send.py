"""`tollgate usage send`, `deliveries` and `undelivered`: usage for billing systems of others."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.console import Json, show_json, show_table
from gateway.database import opened_database
from gateway.delivery.deliverer import Deliverer, name_holder
from gateway.delivery.destinations import read_destinations
from gateway.errors import DeliveryFailed
from gateway.moments import moment_of, rfc3339
from gateway.settings import Settings, load_settings
from gateway.usage.deliveries import Delivery, DeliveryBook, Undelivered, list_deliveries

MOST_TRIES: Final = 5
_POLL_SECONDS: Final = 0.5

To = Annotated[str, typer.Option("--to", metavar="NAME", help="Destination, as its file names it.")]
Destinations = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="File of destinations, instead of TOLLGATE_DELIVERIES."),
]


def add_send_commands(commands: typer.Typer) -> None:
    """Add the commands to those of `tollgate usage`."""
    commands.command("send")(send)
    commands.command("deliveries")(deliveries)
    commands.command("undelivered")(undelivered)


def send(
    *,
    to: To,
    destinations: Destinations = None,
    again: Annotated[
        bool, typer.Option("--again", help="First try once more what was put aside.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send to a billing system what it has not got yet, up to now.

    Stopped anywhere and run again it goes on; the receiver knows what it gets twice by its id. A
    server with TOLLGATE_DELIVERIES does the same all the time.

    Example: tollgate usage send --to openmeter --destinations destinations.toml
    """
    settings = load_settings()
    counts = asyncio.run(_send(settings, to, destinations or settings.deliveries, again=again))
    if as_json:
        show_json(counts)
        return
    for name, count in counts.items():
        typer.echo(f"{name:<10}  {count}")


def deliveries(*, as_json: Json = False) -> None:
    """List how far each destination is, and how many records were put aside for it.

    Example: tollgate usage deliveries
    """
    rows = [
        {
            "destination": one.destination,
            "position": one.position,
            "delivered": one.delivered,
            "undelivered": one.undelivered,
            "moved_at": rfc3339(moment_of(one.moved_at_us)),
        }
        for one in asyncio.run(_list(load_settings()))
    ]
    if as_json:
        show_json({"data": rows, "next": None})
        return
    show_table(rows, columns=("destination", "position", "delivered", "undelivered", "moved_at"))


def undelivered(*, to: To, as_json: Json = False) -> None:
    """List the records that a destination does not take, and why.

    Example: tollgate usage undelivered --to stripe
    """
    rows = [one._asdict() for one in asyncio.run(_undelivered(load_settings(), to))]
    if as_json:
        show_json({"data": rows, "next": None})
        return
    show_table(rows, columns=("sequence", "request_id", "tenant_id", "units", "reason"))


async def _send(settings: Settings, to: str, path: Path | None, *, again: bool) -> dict[str, int]:
    """Send, show on a terminal how far it is, and return what became of the records."""
    known = {} if path is None else read_destinations(path)
    if to not in known:
        raise DeliveryFailed(f"no file of destinations names {to}")
    async with opened_database(settings) as engine:
        holder = name_holder(f"{socket.gethostname()}-{os.getpid()}")
        deliverer = Deliverer(engine, to, known[to], holder=holder, most_tries=MOST_TRIES)
        try:
            repaired = await deliverer.send_again() if again else 0
            with typer.progressbar(label="records", file=sys.stderr, length=1) as bar:

                def show_lot(count: int) -> None:
                    bar.length = bar.pos + count + deliverer.waiting
                    bar.update(count)

                await _deliver(deliverer, show_lot)
        finally:
            await deliverer.let_go()
    return {
        "delivered": deliverer.delivered + repaired,
        "put_aside": deliverer.put_aside,
        "failures": deliverer.failures,
    }


async def _deliver(deliverer: Deliverer, show_lot: Callable[[int], None]) -> None:
    """Send; where another sender is at it, wait as long as one holds on that is dead."""
    deadline = time.monotonic() + deliverer.hold_seconds + _POLL_SECONDS
    while not await deliverer.deliver(on_lot=show_lot):
        if time.monotonic() > deadline:
            raise DeliveryFailed(f"a server or another command sends to {deliverer.name}")
        await asyncio.sleep(_POLL_SECONDS)


async def _list(settings: Settings) -> list[Delivery]:
    async with opened_database(settings) as engine:
        return await list_deliveries(engine)


async def _undelivered(settings: Settings, to: str) -> list[Undelivered]:
    async with opened_database(settings) as engine:
        return await DeliveryBook(engine, to, "", hold_seconds=0).undelivered()
