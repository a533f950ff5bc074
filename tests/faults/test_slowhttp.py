"""A thousand connections of slowhttptest, one attack at a time, and everybody else is served.

Threat: Slowloris, R-U-Dead-Yet and slow reading hold connections without end. Once with the limits
for each address as shipped, once without any, so that all of the thousand get in.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.edge import open_client
from tests.fronted import NO_ADDRESS_LIMITS, Front, running_front
from tests.population import populate

CONNECTIONS = 1000
MADE = 900
"""So many have got through their handshake by the last report, on a machine with other work too."""

SECONDS = 20
RUN_SECONDS = 4 * SECONDS
ATTACKS = {
    "headers": ["-H", "-i", "2", "-x", "24"],
    "body": ["-B", "-i", "2", "-x", "24", "-s", "8192"],
    "read": ["-X", "-k", "3", "-n", "5", "-w", "1", "-y", "1", "-z", "32"],
}
TARGETS = {"headers": "/v1/models", "body": "/v1/models/housing:predict", "read": "/openapi.json"}
OTHERS = "127.0.0.2"
MANY = 100

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module", params=[{}, NO_ADDRESS_LIMITS], ids=["as shipped", "no limits"])
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Run the product with its limits for each address, and without them."""
    folder = tmp_path_factory.mktemp("front")
    # slowhttptest names no host in its handshakes.
    with running_front(folder, nginx=request.param | {"NGINX_REJECT_UNNAMED": "off"}) as running:
        yield running


def attack(front: Front, kind: str) -> list[str]:
    """Write the command."""
    bounds = ["-c", str(CONNECTIONS), "-r", "500", "-l", str(SECONDS), "-p", "5"]
    return ["slowhttptest", *ATTACKS[kind], *bounds, "-u", front.nginx.url + TARGETS[kind]]


@pytest.mark.parametrize("kind", ATTACKS)
def test_others_are_served_throughout(front: Front, kind: str) -> None:
    """Each of their predictions, from another address, gets its answer."""
    caller = populate(front.stack, tenants=1, keys_each=1)[0]
    headers = {"Authorization": f"Bearer {caller.api_key}"}
    statuses = []
    with (
        subprocess.Popen(attack(front, kind), stdout=subprocess.PIPE, text=True) as attacker,
        open_client(front.nginx, source=OTHERS) as client,
    ):
        while attacker.poll() is None:
            answer = client.post(
                "/v1/models/housing:predict", json=front.stack.demo["example"], headers=headers
            )
            statuses.append(answer.status_code)
        assert attacker.stdout is not None
        report = attacker.stdout.read()
    assert set(statuses) == {200}
    assert len(statuses) > MANY
    assert connections_made(report) >= MADE


def connections_made(report: str) -> int:
    """Read from the last report how many connections there are and were."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", report)
    counts = dict(re.findall(r"^(connected|closed):\s+(\d+)", plain, re.MULTILINE))
    return sum(map(int, counts.values()))
