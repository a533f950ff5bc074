"""The proxy, the limiter, the journals and the ledger say the same of the real stack's traffic."""

import datetime as dt
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from gateway.limits.redis_keys import tenant_prefix, units_key
from gateway.limits.redis_limiter import PREFIX
from tests.certificates import NAME
from tests.edge import HERE, open_client
from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.load import Caller
from tests.population import make_caller, make_plan, make_tenant
from tests.redis_server import RedisServer, running_redis

PREDICT = "/v1/models/housing:predict"
SERVED = 20
REFUSED = {401, 404, 422}
CUT = 10
LOGGED_SECONDS = 2.0
"""Time for the proxy to log what it answered last."""

LIMITS = {"units_per_month": 1_000_000, "max_in_flight": 1000}


@dataclass(frozen=True)
class Shop:
    """Everything that there is in production, and two tenants."""

    front: Front
    redis: RedisServer
    database_url: str
    callers: tuple[Caller, Caller]

    def findings(self) -> set[str]:
        """Return the kinds of difference that are found now."""
        found = self.front.reconcile("--json").document["data"]
        return {one["kind"] for one in found if not one["is_explained"]}

    def change(self, statement: LiteralString, **values: object) -> None:
        """Change the ledger past the server, and past the triggers that would refuse it."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("ALTER TABLE usage_records DISABLE TRIGGER USER")
            assert connection.execute(statement, values).rowcount == 1

    def post(self, caller: Caller, path: str, body: object) -> tuple[int, str]:
        """Send one request over TLS; return status and request id."""
        headers = {"Authorization": f"Bearer {caller.api_key}"}
        with open_client(self.front.nginx) as client:
            answer = client.post(path, json=body, headers=headers, timeout=60)
        return answer.status_code, answer.headers["x-request-id"]

    def cut(self, caller: Caller) -> None:
        """Send a request and hang up at once."""
        body = json.dumps(self.front.stack.demo["example"]).encode()
        head = (
            f"POST {PREDICT} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {caller.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        context = self.front.nginx.certificates.context()
        with (
            socket.create_connection((HERE, self.front.nginx.tls_port), 30) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as connection,
        ):
            connection.sendall(head.encode() + body)

    def wait_for_the_leases(self) -> None:
        """Wait until nothing is in flight for Redis: what is explains a counter that is ahead."""
        self.front.stack.wait_until(
            lambda: not self.redis.ask("KEYS", "tollgate:*:leases"), "every lease is given back"
        )


@pytest.fixture
def shop(tmp_path: Path, empty_postgres: str) -> Iterator[Shop]:
    """Run two workers with PostgreSQL and Redis behind Nginx."""
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis") as redis:
        settings = {"redis_url": redis.url, "database_url": empty_postgres}
        with running_front(
            tmp_path, workers=2, settings=settings, nginx=NO_ADDRESS_LIMITS
        ) as front:
            plan_id = make_plan(front.stack, **LIMITS)
            tenants = [make_tenant(front.stack, plan_id, name=name) for name in "ab"]
            first, second = (make_caller(front.stack, tenant_id) for tenant_id in tenants)
            yield Shop(front, redis, empty_postgres, (first, second))


def send_traffic(shop: Shop) -> list[str]:
    """Have both tenants served and refused, and hang up on some; return who was served."""
    body = shop.front.stack.demo["example"]
    stranger = replace(shop.callers[0], api_key="tg_live_nobody")
    requests = [
        *((caller, PREDICT, body) for caller in shop.callers for _ in range(SERVED // 2)),
        *((caller, PREDICT, {"instances": [{"x": "y"}]}) for caller in shop.callers),
        *((caller, "/v1/models/nothing:predict", body) for caller in shop.callers),
        (stranger, PREDICT, body),
    ]
    with ThreadPoolExecutor(8) as pool:
        cuts = [pool.submit(shop.cut, shop.callers[0]) for _ in range(CUT)]
        told = list(pool.map(lambda request: shop.post(*request), requests))
        for cut in cuts:
            cut.result()
    assert {status for status, _ in told} == {200, *REFUSED}
    shop.front.wait_for_the_bill(beyond_seconds=LOGGED_SECONDS)
    return [request_id for status, request_id in told if status == 200]


def test_accounts_of_real_traffic_agree_and_each_tampering_is_found(shop: Shop) -> None:
    """0 differences first; then whatever is changed in one account shows against the others."""
    served = send_traffic(shop)
    done = shop.front.reconcile("--json")
    assert (done.status, done.document["differences"]) == (0, 0), done.out
    assert SERVED <= done.document["answers"] <= SERVED + CUT
    assert done.document["rows"] >= done.document["answers"]
    assert done.document["tenants"] >= 2
    log = shop.front.log.read_text()

    shop.change(
        "UPDATE usage_records SET request_id = 'moved', occurred_at_us = occurred_at_us - 120000000"
        " WHERE request_id = %(id)s",
        id=served[1],
    )
    assert shop.findings() == {"unbilled", "unlogged"}
    shop.change(
        "UPDATE usage_records SET request_id = %(id)s, occurred_at_us = occurred_at_us + 120000000,"
        " units = 7 WHERE request_id = 'moved'",
        id=served[1],
    )
    assert "other_units" in shop.findings()
    shop.change("UPDATE usage_records SET units = 1 WHERE request_id = %(id)s", id=served[1])

    refused = [line.replace('"status":200', '"status":429') for line in log.splitlines()]
    shop.front.log.write_text("".join(f"{line}\n" for line in refused))
    assert shop.findings() == {"billed_refusal"}
    own = log.replace('"status":200', '"status":504')
    shop.front.log.write_text(own)
    assert shop.findings() == {"billed_refusal"}
    given_up = re.sub('(header_seconds":")[0-9.]+', r"\1-", own)
    shop.front.log.write_text(given_up)
    assert not shop.findings()
    shop.front.log.write_text(log + log.splitlines(keepends=True)[-1])
    assert "repeated_id" in shop.findings()
    shop.front.log.write_text(log)

    shop.wait_for_the_leases()
    key = units_key(tenant_prefix(PREFIX, shop.callers[0].tenant_id))
    period = dt.datetime.now(dt.UTC).strftime("%Y%m")
    shop.redis.ask("HINCRBY", key, period, 5)
    assert shop.findings() == {"limiter_ahead"}
    shop.redis.ask("HINCRBY", key, period, -10)
    assert shop.findings() == {"limiter_behind"}
    shop.redis.ask("HINCRBY", key, period, 5)
    assert shop.front.reconcile().status == 0
