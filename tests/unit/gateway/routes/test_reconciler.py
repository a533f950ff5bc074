"""The server compares its own accounts beside the requests."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.evidence.kinds import Kind
from gateway.limits.local_limiter import LocalLimiter
from gateway.observability.board import Board
from gateway.observability.catalogue import CATALOGUE
from gateway.observability.exposition import exposition
from gateway.observability.meter import Meter
from gateway.observability.service_watch import ServiceWatch
from gateway.reconciliation import Reconciler, find_logs, keep_reconciling
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


async def test_another_worker_compares_when_the_first_is_gone(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """One at a time, whichever journals they have, and the metrics are those of that one."""
    settings = plane.services.settings.model_copy(update={"data_dir": tmp_path})
    (tmp_path / "journals").mkdir(exist_ok=True)
    board = Board.create()

    async with AsyncExitStack() as later:
        worker = partial(
            keep_reconciling,
            settings,
            plane.services.engine,
            plane.services.limiter,
            elect_seconds=0.0,
        )
        async with worker() as first:
            second = await later.enter_async_context(worker())
            services = replace(plane.services, reconciler=second)
            watch = ServiceWatch(Meter(board.claim(), CATALOGUE), services, None)
            watch.sample()
            assert (first.elected.is_set(), second.elected.is_set()) == (True, False)
            assert b"tollgate_reconcile" not in exposition(board, CATALOGUE, accept="")[0]
        async with asyncio.timeout(30):
            await second.elected.wait()
        watch.sample()
        assert b"tollgate_reconcile_age_seconds" in exposition(board, CATALOGUE, accept="")[0]


def test_logs_are_found_by_patterns(tmp_path: Path) -> None:
    """Rotated ones too, each once; what was last written before the range is not read."""
    for name in ("access.log", "access.log.1", "access.log.2", "error.log"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "access.log.2", (1, 1))
    found = find_logs(f"{tmp_path}/access*, {tmp_path}/access.log", 2_000_000)
    assert [path.name for path in found] == ["access.log", "access.log.1"]
    assert find_logs("", 0) == []
