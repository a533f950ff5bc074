"""Months and corrections over HTTP: for the platform, step by step, with their entries of audit."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.billing.documents import Statement
from gateway.moments import microseconds
from gateway.usage.ledger import Ledger
from gateway.usage.periods import period_of
from gateway.usage.segment_file import Segments
from tests.unit.gateway.routes.control_plane import ControlPlane
from tests.unit.gateway.usage.conftest import record_of

LAST_MONTH = datetime.now(UTC).replace(day=1, hour=0) - timedelta(days=1)
LAST_US = microseconds(LAST_MONTH)
LAST = period_of(LAST_US)
NOW = datetime.now(UTC).year * 100 + datetime.now(UTC).month


async def use_last_month(plane: ControlPlane, *names: str, rows: int = 2) -> None:
    """Put records of last month on the customer's bill."""
    records = [
        record_of(
            name,
            occurred_at_us=LAST_US,
            tenant_id=plane.customer.tenant_id,
            rows=rows,
            units=rows,
        )
        for name in names
    ]
    ledger = Ledger(plane.services.engine)
    segments = Segments(1, 1, json.dumps(records), len(records))
    await ledger.take("past", segments, position=1, complete_through_us=0)
    await ledger.leave("past")


async def close(plane: ControlPlane) -> dict[str, Any]:
    """Close last month: ask until it is, as the answer 202 says."""
    answer = await plane.admin.call("POST", f"/v1/periods/{LAST}/close")
    while answer.status_code == 202:
        answer = await plane.admin.call("POST", f"/v1/periods/{LAST}/close")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_closed_month_has_a_statement(plane: ControlPlane) -> None:
    """By tenant and model, with a digest that anybody can make anew."""
    await use_last_month(plane, "a", "b")
    closed = await close(plane)
    assert (closed["state"], closed["record_count"], closed["units"]) == ("closed", 2, 4)
    line = {"model": "housing", "requests": 2, "rows": 4, "units": 4}
    assert closed["statement"]["tenants"] == [
        {
            "tenant_id": plane.customer.tenant_id,
            "requests": 2,
            "rows": 4,
            "units": 4,
            "models": [line],
        }
    ]
    assert Statement.model_validate(closed["statement"]).digest == closed["digest"]
    assert (await plane.admin.get(f"/v1/periods/{LAST}")).json() == closed
    assert await close(plane) == closed


async def test_months_are_listed(plane: ControlPlane) -> None:
    """Those that are closed, and the open ones after them."""
    await use_last_month(plane, "a")
    before = (await plane.admin.get("/v1/periods")).json()["data"]
    assert [(one["period"], one["state"]) for one in before] == [(LAST, "open"), (NOW, "open")]
    await close(plane)
    after = (await plane.admin.get("/v1/periods")).json()["data"]
    assert [(one["period"], one["state"]) for one in after] == [(LAST, "closed"), (NOW, "open")]
    assert after[1]["root"] is None


async def test_month_waits_for_a_journal(plane: ControlPlane) -> None:
    """The answer is 202 and names it; the month is closing for every reader."""
    await use_last_month(plane, "a")
    ledger = Ledger(plane.services.engine)
    await ledger.take("behind", None, position=0, complete_through_us=LAST_US)
    answer = await plane.admin.call("POST", f"/v1/periods/{LAST}/close")
    assert (answer.status_code, answer.json()["waiting_for"]) == (202, ["behind"])
    assert (await plane.admin.get(f"/v1/periods/{LAST}")).json()["state"] == "closing"
    await ledger.leave("behind")
    assert (await close(plane))["record_count"] == 1


async def test_month_that_runs_is_not_closed(plane: ControlPlane) -> None:
    """409, and a text that names no month is 404."""
    running = await plane.admin.call("POST", f"/v1/periods/{NOW}/close")
    assert (running.status_code, running.json()["code"]) == (409, "period_not_over")
    for path in ("/v1/periods/2026-11/close", "/v1/periods/0/close"):
        unknown = await plane.admin.call("POST", path)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "period_not_found")
    await use_last_month(plane, "a")
    first = LAST_MONTH.replace(day=1) - timedelta(days=1)
    await close(plane)
    earlier = await plane.admin.call("POST", f"/v1/periods/{first:%Y%m}/close")
    assert (earlier.status_code, earlier.json()["code"]) == (404, "period_not_found")


async def test_correction_is_on_the_bill_of_this_month(plane: ControlPlane) -> None:
    """The tenant sees it, and who made it and why stands in the audit log."""
    await use_last_month(plane, "a", rows=5)
    await close(plane)
    wish = {"request_id": "a", "rows": -2, "units": -2, "reason": "a wrong answer"}
    made = await plane.admin.post("/v1/usage/corrections", wish | {"correction_id": "c1"})
    assert made.status_code == 201, made.text
    again = await plane.admin.post("/v1/usage/corrections", wish | {"correction_id": "c1"})
    assert again.json() == made.json()
    assert (made.json()["period"], made.json()["correction_id"]) == (NOW, "c1")
    [line] = (await plane.customer.get("/v1/usage", bucket="month")).json()["data"]
    assert (line["requests"], line["rows"], line["units"]) == (0, -2, -2)
    entries = (await plane.admin.get("/v1/audit", action="usage.correct")).json()["data"]
    assert [entry["after"]["reason"] for entry in entries] == ["a wrong answer"]
    assert entries[0]["tenant_id"] == plane.customer.tenant_id


async def test_correction_that_cannot_be_made_is_refused(plane: ControlPlane) -> None:
    """Of nothing known, of more than there is, under an id that is taken, without a reason."""
    await use_last_month(plane, "a", "b")
    wish = {"request_id": "a", "rows": -1, "units": -1, "reason": "x", "correction_id": "c1"}
    assert (await plane.admin.post("/v1/usage/corrections", wish)).status_code == 201
    refused = {
        "record_not_found": wish | {"request_id": "z", "correction_id": "c2"},
        "correction_refused": wish | {"rows": -2, "correction_id": "c2"},
        "correction_exists": wish | {"correction_id": "b"},
        "invalid_request": wish | {"reason": "", "correction_id": "c2"},
    }
    for code, body in refused.items():
        answer = await plane.admin.post("/v1/usage/corrections", body)
        assert answer.json()["code"] == code
    forced = wish | {"rows": -2, "correction_id": "c2", "force": True}
    assert (await plane.admin.post("/v1/usage/corrections", forced)).status_code == 201


@pytest.mark.parametrize("path", ["/v1/periods", f"/v1/periods/{LAST}"])
async def test_misspelt_parameter_is_refused(plane: ControlPlane, path: str) -> None:
    """Nothing is read that was not asked for."""
    assert (await plane.admin.get(path, state="closed")).status_code == 422
