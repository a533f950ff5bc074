"""The product as it is sold: workers of the gateway on a unix socket, and Nginx before them."""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.nginx_server import BINARY, NginxServer, running_nginx
from tests.stack import Stack, running_stack
from tests.unit.gateway.cli.terminal import Finished, Terminal

NO_ADDRESS_LIMITS = {
    "NGINX_ADDRESS_RATE": "1000000",
    "NGINX_ADDRESS_BURST": "1000000",
    "NGINX_ADDRESS_CONNECTIONS": "10000",
    "NGINX_DOOR_RATE": "1000000",
    "NGINX_DOOR_BURST": "1000000",
}
"""Where all of a load comes from one address."""

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Front:
    """An nginx and the gateway behind it."""

    nginx: NginxServer
    stack: Stack

    def billed(self, tenant_id: str) -> list[str]:
        """List the ids of the requests that a tenant is billed for until now.

        A report delivers the journal of the worker that answers; the others follow by themselves.
        """
        self.wait_for_the_bill()
        with sqlite3.connect(self.stack.data_dir / "tollgate.db") as database:
            query = "SELECT request_id FROM usage_records WHERE tenant_id = ? AND corrects = ''"
            return [str(row[0]) for row in database.execute(query, (tenant_id,))]

    def wait_for_the_bill(self, *, beyond_seconds: float = 0.0) -> None:
        """Wait until the ledger has all that was served by now, and for so long after."""
        wanted = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=beyond_seconds)
        self.stack.wait_until(lambda: self._complete_through() >= wanted, "a complete bill")

    @property
    def log(self) -> Path:
        """Name the proxy's log."""
        return self.nginx.folder / "access.log"

    def reconcile(self, *options: str) -> Finished:
        """Run the command beside the server, in this process, with the proxy's log."""
        settings = self.stack.settings | {"TOLLGATE_DATA_DIR": str(self.stack.data_dir)}
        return Terminal(settings).run("reconcile", "--log", str(self.log), *options)

    def _complete_through(self) -> dt.datetime:
        answer = self.stack.call("GET", "/v1/usage", key=self.stack.demo["billing_key"])
        assert answer.status == 200
        return dt.datetime.fromisoformat(answer.body["complete_through"])


@contextlib.contextmanager
def running_front(
    folder: Path,
    *,
    workers: int = 1,
    settings: Mapping[str, str] = NOTHING,
    nginx: Mapping[str, str] = NOTHING,
    binary: str = BINARY,
) -> Iterator[Front]:
    """Run both for the length of a block: settings of the gateway, variables of nginx."""
    (folder / "gateway").mkdir()
    (folder / "nginx").mkdir()
    with (
        running_stack(folder / "gateway", workers=workers, **settings) as stack,
        running_nginx(
            folder / "nginx",
            stack.unix_socket,
            binary=binary,
            **{"TOLLGATE_WORKERS": str(workers), **nginx},
        ) as running,
    ):
        yield Front(running, stack)
