"""A real Redis Cluster on loopback: three masters with a third of the slots each."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.redis_server import RedisProcess
from tests.serving import free_port

MASTERS = 3
HOST = "127.0.0.1"
FORM_SECONDS = 60.0
NODE_TIMEOUT_MILLISECONDS = 2000
_POLL_SECONDS = 0.02


class RedisNode(RedisProcess):
    """One node; it forgets the cluster when it ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port, self.bus_port = free_port(), free_port()
        cluster = {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(NODE_TIMEOUT_MILLISECONDS),
            "cluster-require-full-coverage": "no",
        }
        options = ["--port", str(self.port), "--bind", HOST]
        options += [word for name, value in cluster.items() for word in (f"--{name}", value)]
        super().__init__(folder, f"redis://{HOST}:{self.port}", options)

    @property
    def node_id(self) -> str:
        """Its name among the nodes."""
        return str(self.ask("CLUSTER", "MYID").decode())


class RedisCluster:
    """Start a cluster, find who is in charge of a key, move slots, and replace a master."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes = [RedisNode(folder / f"node-{number}") for number in range(MASTERS)]

    @property
    def url(self) -> str:
        """Where clients that find the other nodes by themselves connect."""
        return self.nodes[0].url

    def start(self) -> None:
        """Start the nodes, divide the slots, and wait until all agree."""
        for number, node in enumerate(self.nodes):
            node.start()
            first, last = _slots_of(number)
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self._introduce(node)
        self.wait_until(lambda: all(map(self._is_complete, self.nodes)), "the cluster has formed")

    def kill(self) -> None:
        """End every node."""
        for node in self.nodes:
            node.kill()

    def master_of(self, key: str) -> RedisNode:
        """Return the node that was given the key's slot at the start."""
        return self.nodes[key_slot(key.encode()) * MASTERS // REDIS_CLUSTER_HASH_SLOTS]

    def begin_move(self, key: str, to: RedisNode) -> None:
        """Put the key's slot on its way; each of its keys is on either side."""
        slot, source = key_slot(key.encode()), self.master_of(key)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.node_id)

    def end_move(self, key: str, to: RedisNode) -> None:
        """Carry the slot's keys over and give it to the other node."""
        slot, source = key_slot(key.encode()), self.master_of(key)
        for name in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            source.ask("MIGRATE", HOST, to.port, name.decode(), 0, 5000)
        for node in (to, source, *self.nodes):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.node_id)

    def add_replica(self, master: RedisNode) -> RedisNode:
        """Start a node that takes the master's place when it dies."""
        replica = RedisNode(self._folder / f"node-{len(self.nodes)}")
        self.nodes.append(replica)
        replica.start()
        self._introduce(replica)
        name = master.node_id
        self.wait_until(lambda: name in self._known_by(replica), "the replica knows its master")
        replica.ask("CLUSTER", "REPLICATE", name)
        self.wait_until(
            lambda: replica.ask("INFO", "replication").get("master_link_status") == "up",
            "the replica follows",
        )
        return replica

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that can be observed, within a bound."""
        deadline = time.monotonic() + FORM_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {FORM_SECONDS} s: {what}")
            time.sleep(_POLL_SECONDS)

    def _introduce(self, node: RedisNode) -> None:
        first = self.nodes[0]
        node.ask("CLUSTER", "MEET", HOST, first.port, first.bus_port)

    def _is_complete(self, node: RedisNode) -> bool:
        is_well = b"cluster_state:ok" in node.ask("CLUSTER", "INFO")
        return is_well and len(node.ask("CLUSTER", "SLOTS")) == MASTERS

    def _known_by(self, node: RedisNode) -> str:
        return str(node.ask("CLUSTER", "NODES"))


def _slots_of(number: int) -> tuple[int, int]:
    """Return the first and last slot of a master."""
    borders = [-(-REDIS_CLUSTER_HASH_SLOTS * n // MASTERS) for n in (number, number + 1)]
    return borders[0], borders[1] - 1


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Run a cluster for the length of a block."""
    cluster = RedisCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
