"""The server compares its own accounts beside the requests."""

import logging
import os
from pathlib import Path

import pytest

from gateway.evidence.kinds import Kind
from gateway.limits.local_limiter import LocalLimiter
from gateway.reconciliation import Reconciler, find_logs
from gateway.usage.periods import period_of, wall_clock_us
from tests.unit.gateway.routes.control_plane import ControlPlane

BODY = {"instances": [{"amount": 1.0}]}


async def served(plane: ControlPlane) -> Reconciler:
    """Serve a request, have it in the ledger, and return what compares."""
    answer = await plane.customer.post("/v1/models/double:predict", BODY)
    assert answer.status_code == 200
    await plane.services.shipper.ship()
    assert plane.services.reconciler is not None
    return plane.services.reconciler


async def test_accounts_of_a_server_agree(plane: ControlPlane) -> None:
    """What the limiter in its memory counted is what the ledger has."""
    reconciler = await served(plane)
    await reconciler.run()
    assert not reconciler.counts


async def test_difference_is_counted_and_in_the_log(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever gets the alarm finds the tenant or the request there; the next run counts anew."""
    reconciler, limiter = await served(plane), plane.services.limiter
    assert isinstance(limiter, LocalLimiter)
    tenant_id, period = plane.customer.tenant_id, period_of(wall_clock_us())
    limiter.load_quota(tenant_id, period, 99)
    with caplog.at_level(logging.ERROR, logger="gateway.reconciliation"):
        await reconciler.run()
    assert reconciler.counts == {Kind.LIMITER_AHEAD: 1}
    assert f"limiter_ahead {tenant_id}" in caplog.text
    limiter.load_quota(tenant_id, period, 1)
    await reconciler.run()
    assert not reconciler.counts


def test_logs_are_found_by_patterns(tmp_path: Path) -> None:
    """Rotated ones too, each once; what was last written before the range is not read."""
    for name in ("access.log", "access.log.1", "access.log.2", "error.log"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "access.log.2", (1, 1))
    found = find_logs(f"{tmp_path}/access*, {tmp_path}/access.log", 2_000_000)
    assert [path.name for path in found] == ["access.log", "access.log.1"]
    assert find_logs("", 0) == []
