"""The examples of billing make invoices of a closed month, and find every amount that is wrong.

A server has records of last month; the month is closed over HTTP, and the scripts run as they are
documented.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.moments import microseconds
from tests.months import deliver_records
from tests.serving import ROOT, Server, free_port
from tests.unit.gateway.usage.conftest import record_of

BILLING = ROOT / "examples" / "billing"
PRICES = BILLING / "prices.toml"


@dataclass(frozen=True)
class Month:
    """A server that has closed last month, and what its platform was told of it."""

    server: Server
    period: int
    document: Path

    def run(
        self, script: str, *arguments: str, prices: Path = PRICES
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        key = self.server.demo["billing_key"]
        return subprocess.run(
            [sys.executable, str(BILLING / script), *arguments, "--prices", str(prices)],
            env=os.environ | {"BILLING_KEY": key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def invoices(self, path: Path) -> dict[str, Any]:
        """Make the invoices by asking the server."""
        done = self.run(
            "invoice.py", str(self.period), "--url", self.server.url, "--out", str(path)
        )
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(path.read_text())
        return document


def check(
    month: Month, made: dict[str, Any], folder: Path, *, prices: Path = PRICES
) -> tuple[int, list[str]]:
    """Check invoices; return the status and what was found."""
    path = folder / "checked.json"
    path.write_text(json.dumps(made))
    statement = ("--statement", str(month.document))
    done = month.run("check.py", str(path), *statement, prices=prices)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def last_month() -> datetime:
    """Return a moment of last month."""
    return datetime.now(UTC).replace(day=1) - timedelta(days=1)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """Run a server, put records of last month on its bill, and close the month."""
    folder = tmp_path_factory.mktemp("billing")
    server = Server(folder, free_port())
    server.start()
    moment = last_month()
    plain = {"occurred_at_us": microseconds(moment)}
    records = [record_of(f"a{n}", units=n, tenant_id="ten_a", **plain) for n in range(7)]
    records += [record_of(f"b{n}", model="other", tenant_id="ten_b", **plain) for n in range(3)]
    records += [record_of("t", is_test=True, tenant_id="ten_b", **plain)]
    deliver_records(f"sqlite:///{folder / 'tollgate.db'}", records)
    period = moment.year * 100 + moment.month
    key = server.demo["admin_key"]
    closed = server.call("POST", f"/v1/periods/{period}/close", key=key)
    while closed.status == 202:
        closed = server.call("POST", f"/v1/periods/{period}/close", key=key)
    assert (closed.status, closed.body["state"]) == (200, "closed"), closed.body
    path = folder / "month.json"
    path.write_text(json.dumps(closed.body))
    yield Month(server, period, path)
    server.stop()


def test_invoices_of_a_closed_month_agree_with_it(month: Month, tmp_path: Path) -> None:
    """Each tenant has its lines, priced by model, and the check finds nothing."""
    made = month.invoices(tmp_path / "invoices.json")
    lines = {
        (invoice["tenant"], line["model"]): (line["units"], line["amount"])
        for invoice in made["invoices"]
        for line in invoice["lines"]
    }
    assert lines == {("ten_a", "housing"): (21, "0.26"), ("ten_b", "other"): (3, "0.06")}
    assert made["total"] == "0.32"
    checked = month.run(
        "check.py", str(tmp_path / "invoices.json"), "--statement", str(month.document)
    )
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout == f"{month.period}: 2 invoices, 0.32 in all, agree\n"


@pytest.mark.parametrize(
    ("member", "value"),
    [("units", 20), ("amount", "0.25"), ("unit_price", "0.01"), ("model", "another")],
)
def test_check_finds_what_is_wrong_with_a_line(
    *, month: Month, tmp_path: Path, member: str, value: object
) -> None:
    """Less units, another amount or price, another model."""
    made = month.invoices(tmp_path / "invoices.json")
    made["invoices"][0]["lines"][0][member] = value
    (tmp_path / "wrong.json").write_text(json.dumps(made))
    checked = month.run(
        "check.py", str(tmp_path / "wrong.json"), "--statement", str(month.document)
    )
    assert checked.returncode == 1
    assert "ten_a" in checked.stdout


@pytest.mark.parametrize("member", ["period", "start", "end", "root", "digest", "currency"])
def test_check_finds_what_is_wrong_above_the_lines(
    month: Month, tmp_path: Path, member: str
) -> None:
    """Another month, other books, or other money for the same numbers."""
    made = month.invoices(tmp_path / "invoices.json")
    found = check(month, made | {member: "other"}, tmp_path)
    assert found == (1, [f"all: {member} other instead of {made[member]}"])
    del made[member]
    assert check(month, made, tmp_path)[0] == 1


def test_check_finds_a_tenant_with_two_invoices(month: Month, tmp_path: Path) -> None:
    """Every line is right, and so are the sums; it is paid twice or in parts all the same."""
    made = month.invoices(tmp_path / "invoices.json")
    [first, *others] = made["invoices"]
    made["invoices"] = [first, {**first, "lines": [], "total": "0"}, *others]
    assert check(month, made, tmp_path) == (1, [f"{first['tenant']}: 2 invoices"])


def test_check_names_a_model_without_a_price(month: Month, tmp_path: Path) -> None:
    """Where the prices name none for all others."""
    made = month.invoices(tmp_path / "invoices.json")
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES.read_text().replace('"*" = 0.02', ""))
    found = check(month, made, tmp_path, prices=prices)
    assert found == (1, ["ten_b other: the model has no price"])


def test_check_finds_a_changed_statement(month: Month, tmp_path: Path) -> None:
    """Its digest is another than the one that came with it."""
    month.invoices(tmp_path / "invoices.json")
    document = json.loads(month.document.read_text())
    document["statement"]["closed_at"] = "2026-01-01T00:00:00Z"
    (tmp_path / "changed.json").write_text(json.dumps(document))
    checked = month.run(
        "check.py",
        str(tmp_path / "invoices.json"),
        "--statement",
        str(tmp_path / "changed.json"),
    )
    assert checked.returncode == 1
    assert "the statement is not the one of this digest" in checked.stdout


def test_open_month_is_not_invoiced(month: Month) -> None:
    """Something may still be counted in it."""
    now = datetime.now(UTC)
    refused = month.run("invoice.py", str(now.year * 100 + now.month), "--url", month.server.url)
    assert refused.returncode == 1
    assert "is not closed" in refused.stderr
