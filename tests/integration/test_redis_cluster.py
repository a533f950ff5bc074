"""The limiter in Redis keeps the contract on a cluster, whose nodes die and whose slots move."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from gateway.limits.limiter import Limiter
from gateway.limits.policy import Policy
from gateway.limits.redis_limiter import RedisLimiter
from tests.redis_cluster import RedisCluster, RedisNode, running_cluster
from tests.redis_limiters import (
    PATIENT_SECONDS,
    Makers,
    build_limiter,
    makers_on,
    next_prefix,
    opened,
    until_left,
    until_shared,
)
from tests.unit.gateway.limits.callers import Clocks, admitted, policy
from tests.unit.gateway.limits.limiter_contract import LimiterContract

TENANTS = 30
PREFIX = "test"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Run one cluster for all tests that do it no harm."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Run a cluster that the test may break."""
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
async def makers(cluster: RedisCluster) -> AsyncIterator[Makers]:
    """Return what makes limiters on the cluster."""
    async with makers_on(cluster.url) as makers:
        yield makers


class TestRedisLimiterOnACluster(LimiterContract):
    """The contract, decided by whichever node is in charge."""

    @pytest.fixture(autouse=True)
    def _use(self, makers: Makers) -> None:
        self._makers = makers

    async def make(self, clocks: Clocks) -> Limiter:
        """Return an empty limiter."""
        return await self._makers.make(clocks)


def patient_limiter(cluster: RedisCluster) -> RedisLimiter:
    """Return a limiter that gives a node up when it is gone, and not because it is slow."""
    return build_limiter(cluster.url, budget_seconds=PATIENT_SECONDS)


def tenant_key(tenant: str) -> str:
    """Name a key that lies where all keys of a tenant do."""
    return f"{PREFIX}:{{{tenant}}}:units"


def limits_of(cluster: RedisCluster, node: RedisNode, *, burst: int) -> Policy:
    """Return limits of a tenant whose keys the node was given."""
    names = (f"ten_{number}" for number in range(1000))
    tenant = next(name for name in names if cluster.master_of(tenant_key(name)) is node)
    return policy(tenant=tenant, rate=0.001, burst=burst, units=burst, in_flight=burst)


def counts_of(limiter: RedisLimiter) -> dict[str, int]:
    """Read what metrics follow, which may never fall."""
    return {
        "trips": limiter.trips,
        "outages": limiter.outages,
        "operations": limiter.shared_operations,
        "lost": limiter.lost_releases,
    }


async def count_admitted(limiter: RedisLimiter, limits: Policy, attempts: int) -> int:
    """Count what gets in."""
    return sum([await admitted(limiter, limits) for _ in range(attempts)])


def slot_of(limits: Policy) -> int:
    """Return the slot of a tenant."""
    return int(key_slot(tenant_key(limits.tenant_id).encode()))


async def test_one_call_reaches_every_node(makers: Makers) -> None:
    """Tenants of all nodes are decided together, each exactly, by two processes."""
    prefix = next_prefix()
    limiters = [await makers.make(None, prefix=prefix) for _ in range(2)]
    limits = [policy(tenant=f"ten_{n}", rate=0.001, burst=3, units=9) for n in range(TENANTS)]
    results = [
        await admitted(limiter, limit) for limit in limits for limiter in limiters for _ in range(3)
    ]
    assert sum(results) == 3 * TENANTS


async def test_killed_node_degrades_its_own_slots_alone(own_cluster: RedisCluster) -> None:
    """The other tenants' limits are in Redis still, its own go on from where it was."""
    lost, kept = own_cluster.nodes[1], own_cluster.nodes[2]
    async with opened(patient_limiter(own_cluster)) as limiter:
        theirs, ours = (limits_of(own_cluster, node, burst=4) for node in (lost, kept))
        assert await admitted(limiter, theirs)
        assert await admitted(limiter, ours)
        lost.kill()
        assert await count_admitted(limiter, theirs, 6) == 3
        assert limiter.local_decisions == 6
        assert await count_admitted(limiter, ours, 6) == 3
        assert limiter.local_decisions == 6


async def test_moved_slot_is_followed(own_cluster: RedisCluster) -> None:
    """The node that lost a slot says so; the count goes on where its keys have gone."""
    source, target = own_cluster.nodes[0], own_cluster.nodes[1]
    limits = limits_of(own_cluster, source, burst=6)
    key = tenant_key(limits.tenant_id)
    async with opened(patient_limiter(own_cluster)) as limiter:
        assert await count_admitted(limiter, limits, 2) == 2
        own_cluster.begin_move(key, target)
        own_cluster.end_move(key, target)
        left = limiter._nodes.link_of(slot_of(limits))
        assert await admitted(limiter, limits)
        await until_left(limiter, left, slot=slot_of(limits))
        assert await count_admitted(limiter, limits, 6) == 3
    assert limiter.local_decisions == 1
    assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot_of(limits)) == 3


async def test_slot_on_its_way_is_decided_locally(own_cluster: RedisCluster) -> None:
    """Until it has arrived nobody has all of its keys; the limit holds all the same."""
    source, target = own_cluster.nodes[0], own_cluster.nodes[1]
    limits = limits_of(own_cluster, source, burst=6)
    async with opened(patient_limiter(own_cluster)) as limiter:
        assert await admitted(limiter, limits)
        key = tenant_key(limits.tenant_id)
        own_cluster.begin_move(key, target)
        source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        assert await count_admitted(limiter, limits, 3) == 3
        assert limiter.local_decisions > 0
        own_cluster.end_move(key, target)
        assert await count_admitted(limiter, limits, 6) == 2


async def test_replica_takes_over(own_cluster: RedisCluster) -> None:
    """After a failover the new master is found without anybody's doing."""
    lost = own_cluster.nodes[1]
    replica = own_cluster.add_replica(lost)
    limits = limits_of(own_cluster, lost, burst=6)
    async with opened(patient_limiter(own_cluster)) as limiter:
        assert await count_admitted(limiter, limits, 2) == 2
        own_cluster.wait_until(
            lambda: bool(replica.ask("CLUSTER", "COUNTKEYSINSLOT", slot_of(limits))),
            "the replica has the keys",
        )
        lost.kill()
        assert await count_admitted(limiter, limits, 2) == 2
        counted = counts_of(limiter)
        await until_shared(limiter)
        fallen = {name for name, now in counts_of(limiter).items() if now < counted[name]}
        assert fallen == set()
        assert limiter._trips.keys() == set(limiter._nodes.links)
        assert await count_admitted(limiter, limits, 6) == 2
    assert replica.ask("ROLE")[0] == b"master"
