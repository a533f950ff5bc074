"""Read the ledger of a server from its database file, past the server."""

import sqlite3
from typing import NamedTuple

from tests.serving import Server


class Row(NamedTuple):
    """One billed request."""

    request_id: str
    tenant_id: str
    key_id: str
    model: str
    version: str
    rows: int
    units: int


def ledger_rows(server: Server) -> list[Row]:
    """Read every row of a request; what is noted of one later stands in rows of its own."""
    with sqlite3.connect(server.data_dir / "tollgate.db") as connection:
        query = f"SELECT {', '.join(Row._fields)} FROM usage_records WHERE corrects = ''"  # noqa: S608 - our own names
        found = connection.execute(query).fetchall()
    connection.close()
    return [Row(*row) for row in found]


def ledger_ids(server: Server, *tenant_ids: str) -> list[str]:
    """Read the request ids of all or of some tenants, sorted; one billed twice stands twice."""
    return sorted(
        row.request_id
        for row in ledger_rows(server)
        if not tenant_ids or row.tenant_id in tenant_ids
    )


def delivered_ids(server: Server) -> list[str]:
    """Read the request ids after a server of one worker has delivered all that it has."""
    answer = server.call("GET", "/v1/usage", key=server.demo["billing_key"])
    assert answer.status == 200, answer.body
    return ledger_ids(server)
