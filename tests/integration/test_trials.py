"""A challenger on trial with several workers: all follow at once, and what they see adds up."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis_server import running_redis
from tests.repositories import scaled_model, write_model
from tests.serving import ROOT
from tests.stack import Stack

MODEL = "scaled"
PREDICT = f"/v1/models/{MODEL}:predict"
TRIAL = f"/v1/models/{MODEL}/trial"
COMPARISON = f"/v1/models/{MODEL}/comparison"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three workers that serve version 2, the champion, which doubles, and 1, which does not."""
    tmp_path = tmp_path_factory.mktemp("trials")
    for version in (1, 2):
        write_model(tmp_path / "models", MODEL, scaled_model(version), version=version)
    with running_redis(tmp_path) as redis:
        settings = {
            "TOLLGATE_REDIS_URL": redis.url,
            "TOLLGATE_MODEL_REPOSITORY": str(tmp_path / "models"),
        }
        running = Stack(tmp_path, workers=3, settings=settings)
        running.start()
        yield running
        running.stop()


def versions_of(stack: Stack, requests: int) -> Counter[str]:
    """Ask on connections of their own, and count which version answered."""
    versions: Counter[str] = Counter()
    for _ in range(requests):
        answer = stack.call("POST", PREDICT, key=stack.keys["admin_key"], body={"instances": [3.0]})
        version = answer.headers["tollgate-model-version"]
        assert answer.body == {"predictions": [3.0 * int(version)]}
        versions[version] += 1
    return versions


def begin(stack: Stack, **wish: Any) -> None:  # noqa: ANN401 - as the members are
    """Try version 1."""
    body = {"challenger": "1", **wish}
    answer = stack.call("PUT", TRIAL, key=stack.keys["admin_key"], body=body)
    assert answer.status == 200, answer.body


def compare(stack: Stack) -> dict[str, Any]:
    """Read the comparison; the versions by their numbers."""
    document: dict[str, Any] = stack.call("GET", COMPARISON, key=stack.keys["admin_key"]).body
    return document | {"versions": {item["version"]: item for item in document["versions"]}}


def served(stack: Stack) -> Counter[str]:
    """Count the requests of each version as the comparison has them."""
    versions = compare(stack)["versions"]
    return Counter({name: item["served"]["requests"] for name, item in versions.items()})


def test_every_worker_follows_with_its_next_request(stack: Stack) -> None:
    """Whichever worker a request meets, it is routed by the last answered change."""
    for _ in range(15):
        begin(stack, weight=1.0)
        assert versions_of(stack, 6) == {"1": 6}
        assert stack.call("DELETE", TRIAL, key=stack.keys["admin_key"]).status == 204
        assert versions_of(stack, 6) == {"2": 6}


def test_counts_of_all_workers_add_up(stack: Stack) -> None:
    """The comparison has every request exactly once, whichever worker is asked for it."""
    begin(stack, weight=0.5, sticky="request", budget=0.5)
    asked = versions_of(stack, 150)
    stack.wait_until(lambda: served(stack) == asked, "every worker has handed in")
    assert served(stack) == asked
    agreement = compare(stack)["agreement"]
    assert agreement["requests"] > 0
    assert agreement["outputs"][0]["difference"]["value"] == -3.0


def test_command_line_tells_the_same(stack: Stack) -> None:
    """It reads the records beside the running server."""
    begin(stack, weight=0.6, sticky="request")
    asked = versions_of(stack, 20)
    stack.wait_until(lambda: served(stack) == asked, "every worker has handed in")
    told = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "models", "compare", MODEL, "--json"],
        cwd=ROOT,
        env=os.environ | {"TOLLGATE_DATA_DIR": str(stack.data_dir)},
        capture_output=True,
        check=True,
    )
    answer = stack.call("GET", COMPARISON, key=stack.keys["admin_key"])
    assert json.loads(told.stdout) == answer.body


def test_workers_that_end_hand_in_the_rest(stack: Stack) -> None:
    """A rolling restart loses nothing of what was seen, and the trial goes on."""
    begin(stack, weight=0.4, sticky="request")
    asked = versions_of(stack, 40)
    stack.roll()
    asked += versions_of(stack, 40)
    stack.wait_until(lambda: served(stack) == asked, "every worker has handed in")
