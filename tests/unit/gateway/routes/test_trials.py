"""A challenger beside the champion, from the first request to the promotion."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.cli.migrate import bring_up_to_date
from gateway.models.records import CHAMPION
from gateway.models.staging import staged
from gateway.settings import Settings
from tests.actors import TESTER
from tests.repositories import scaled_model, sum_model, write_model
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane, open_control_plane

# How requests are routed does not depend on the database; `tests/unit/gateway/models` has both.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PREDICT = "/v1/models/scaled:predict"
TRIAL = "/v1/models/scaled/trial"
COMPARISON = "/v1/models/scaled/comparison"
ENOUGH = 2000
"""Requests after which what is possible has happened."""


@pytest.fixture
async def plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """The running app with a model of two versions: 2, the champion, doubles, and 1 does not."""
    write_model(settings.model_repository, "scaled", scaled_model(1), version=1)
    write_model(settings.model_repository, "scaled", scaled_model(2), version=2)
    await bring_up_to_date(settings)
    async with open_control_plane(settings) as control_plane:
        yield control_plane


async def begin(plane: ControlPlane, **wish: Any) -> httpx.Response:  # noqa: ANN401 - as the members are
    """Try version 1."""
    return await plane.admin.call("PUT", TRIAL, json={"challenger": "1", **wish})


async def compared(plane: ControlPlane) -> dict[str, Any]:
    """Read the comparison; the versions by their numbers."""
    document: dict[str, Any] = (await plane.admin.get(COMPARISON)).json()
    return document | {"versions": {item["version"]: item for item in document["versions"]}}


async def answers(caller: Caller, *, requests: int = 1) -> list[tuple[str, float]]:
    """Ask for the scaled 3, and return which version answered what."""
    found = [await caller.post(PREDICT, {"instances": [3.0]}) for _ in range(requests)]
    return [
        (answer.headers["tollgate-model-version"], answer.json()["predictions"][0])
        for answer in found
    ]


async def mirror(plane: ControlPlane, *, runs: int) -> None:
    """Ask until some requests were mirrored."""
    mirror = plane.services.trials.mirror
    assert mirror is not None
    for _ in range(ENOUGH):
        if mirror.runs >= runs:
            return
        await answers(plane.customer)
    raise AssertionError("nothing was mirrored")


async def test_weight_splits_requests_between_versions(plane: ControlPlane) -> None:
    """Each answer is wholly from the version that it names, and both get some."""
    assert (await begin(plane, weight=0.5, sticky="request")).status_code == 200
    found = await answers(plane.customer, requests=60)
    assert {version for version, _ in found} == {"1", "2"}
    assert all(value == 3.0 * int(version) for version, value in found)


async def test_tenant_stays_with_its_version(plane: ControlPlane) -> None:
    """One tenant sees one model."""
    await begin(plane, weight=0.5)
    assert len({version for version, _ in await answers(plane.customer, requests=40)}) == 1


async def test_named_version_is_no_part_of_the_trial(plane: ControlPlane) -> None:
    """Whoever names a version gets it, and is not counted."""
    await begin(plane, weight=1.0)
    path = "/v1/models/scaled/versions/2:predict"
    answer = await plane.customer.post(path, {"instances": [3.0]})
    assert answer.json() == {"predictions": [6.0]}
    assert (await compared(plane))["versions"]["2"]["served"]["requests"] == 0


async def test_label_names_the_version_on_trial(plane: ControlPlane) -> None:
    """Predictions, state and metadata of the challenger, for as long as it is one."""
    await begin(plane, weight=0.5)
    path = "/v1/models/scaled/labels/challenger"
    answer = await plane.customer.post(path + ":predict", {"instances": [3.0]})
    assert (answer.headers["tollgate-model-version"], answer.json()) == (
        "1",
        {"predictions": [3.0]},
    )
    state = (await plane.customer.get(path)).json()
    assert [item["version"] for item in state["model_version_status"]] == ["1"]
    assert (await plane.customer.get(path + "/metadata")).json()["version"] == "1"
    await plane.admin.call("DELETE", TRIAL)
    for gone in (await plane.customer.get(path), await plane.customer.get(path + "/metadata")):
        assert (gone.status_code, gone.json()["code"]) == (404, "model_not_found")


async def test_inference_protocol_takes_part_and_names_the_version(plane: ControlPlane) -> None:
    """Unnamed, by version and by label: `model_version` says who answered."""
    await begin(plane, weight=1.0)
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [3.0]}]}
    answers = {
        way: (await plane.customer.post(f"/v2/models/scaled{way}/infer", body)).json()
        for way in ("", "/versions/2", "/labels/challenger")
    }
    told = {way: (one["model_version"], one["outputs"][0]["data"]) for way, one in answers.items()}
    assert told == {
        "": ("1", [3.0]),
        "/versions/2": ("2", [6.0]),
        "/labels/challenger": ("1", [3.0]),
    }
    assert (await compared(plane))["versions"]["1"]["served"]["requests"] == 1


async def test_comparison_counts_each_version(plane: ControlPlane) -> None:
    """Requests, rows and latency of both, with their intervals."""
    await begin(plane, weight=0.5, sticky="request")
    found = await answers(plane.customer, requests=80)
    document = await compared(plane)
    for version in ("1", "2"):
        served = document["versions"][version]["served"]
        assert served["requests"] == served["rows"] == [one for one, _ in found].count(version)
        latency = served["latency_seconds"]
        assert 0 <= latency["mean"]["low"] < latency["mean"]["value"] < latency["mean"]["high"]
        assert latency["p50"] <= latency["p99"]
        assert served["error_rate"]["value"] == 0.0
        assert served["error_rate"]["high"] > 0.0
    difference = document["difference"]["latency_seconds"]
    assert difference["low"] < difference["value"] < difference["high"]
    assert document["confidence"] == 0.95


async def test_shadow_is_compared_and_never_answers(plane: ControlPlane) -> None:
    """Every caller gets the champion; the comparison tells what the challenger would have said."""
    await begin(plane, budget=1.0)
    await mirror(plane, runs=12)
    document = await compared(plane)
    agreement = document["agreement"]
    assert document["versions"]["1"]["served"]["requests"] == 0
    assert document["versions"]["1"]["mirrored"]["requests"] >= 12
    assert agreement["agreement"]["value"] == 0.0
    [output] = agreement["outputs"]
    assert output["difference"] == {"value": -3.0, "low": -3.0, "high": -3.0}
    assert output["largest_distance"] == 3.0


async def test_shadow_is_never_billed(plane: ControlPlane) -> None:
    """The ledger has the requests that were asked, each once."""
    await begin(plane, budget=1.0)
    await mirror(plane, runs=3)
    await plane.services.shipper.ship()
    usage = (await plane.customer.get("/v1/usage", group_by="model")).json()
    served = (await compared(plane))["versions"]["2"]["served"]["requests"]
    assert [row["requests"] for row in usage["data"]] == [served]


async def test_failure_is_counted_against_the_version(plane: ControlPlane) -> None:
    """A NaN that JSON cannot carry is an error of the version that gave it."""
    await begin(plane, weight=1.0)
    answer = await plane.customer.call("POST", PREDICT, content=b'{"instances": [NaN]}')
    assert answer.status_code == 422
    assert (await compared(plane))["versions"]["1"]["served"]["errors"] == 1


async def test_ended_trial_leaves_the_champion_alone(plane: ControlPlane) -> None:
    """From the next request on; what was seen can still be read."""
    await begin(plane, weight=1.0)
    assert await answers(plane.customer) == [("1", 3.0)]
    assert (await plane.admin.call("DELETE", TRIAL)).status_code == 204
    assert await answers(plane.customer) == [("2", 6.0)]
    document = await compared(plane)
    assert document["trial"]["ended_at"] is not None
    assert document["versions"]["1"]["served"]["requests"] == 1


async def test_promotion_ends_the_trial(plane: ControlPlane) -> None:
    """The challenger's label moves to the champion's place in one step."""
    await begin(plane, weight=0.5)
    store = plane.services.models
    await store.set_label("scaled", CHAMPION, version="1", actor=TESTER)
    assert (await compared(plane))["trial"]["ended_at"] is not None


async def test_champion_cannot_challenge_itself(plane: ControlPlane) -> None:
    """The member at fault is named."""
    answer = await begin(plane, challenger="2", weight=0.5)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("challenger:")


async def test_challenger_needs_something_to_do(plane: ControlPlane) -> None:
    """Neither a weight nor a budget is no trial."""
    assert (await begin(plane)).status_code == 422


async def test_challenger_of_another_contract_has_to_be_forced(plane: ControlPlane) -> None:
    """Requests that are good with the champion would not be with it; the reason is told."""
    with staged(plane.services.settings.model_repository, "scaled", "3") as path:
        (path.folder / "model.onnx").write_bytes(sum_model())
        await plane.services.publisher.push(path, actor=TESTER, force=True)
    answer = await begin(plane, challenger="3", weight=0.5)
    assert (answer.status_code, answer.json()["code"]) == (409, "contract_incompatible")
    assert "against the running version 2: input x is gone" in answer.json()["detail"]
    assert (await plane.admin.get(COMPARISON)).json()["code"] == "trial_not_found"
    assert (await begin(plane, challenger="3", weight=0.5, force=True)).status_code == 200


async def test_withdrawn_challenger_is_refused_as_such(plane: ControlPlane) -> None:
    """Whatever its files would have answered."""
    await plane.services.publisher.retire("scaled", "1", actor=TESTER)
    answer = await begin(plane, weight=0.5)
    assert (answer.status_code, answer.json()["code"]) == (409, "version_unavailable")


async def test_unknown_model_has_no_comparison(plane: ControlPlane) -> None:
    """The same answer as anywhere."""
    answer = await plane.admin.get("/v1/models/nothing/comparison")
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")


async def test_model_without_a_trial_says_so(plane: ControlPlane) -> None:
    """There is nothing to compare yet."""
    answer = await plane.admin.get(COMPARISON)
    assert (answer.status_code, answer.json()["code"]) == (404, "trial_not_found")


async def test_changes_are_in_the_audit_log(plane: ControlPlane) -> None:
    """Who began it, how, and who ended it."""
    await begin(plane, weight=0.5)
    await plane.admin.call("DELETE", TRIAL)
    entries = (await plane.admin.get("/v1/audit", target="scaled")).json()["data"]
    told = {entry["action"]: entry for entry in entries}
    assert told["model.trial.begin"]["after"]["weight"] == 0.5
    assert told["model.trial.end"]["before"]["challenger"] == "1"
