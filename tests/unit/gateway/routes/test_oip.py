"""What clients of the Open Inference Protocol are told, and how they change what is served."""

import pytest

from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

# What is said of models does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ABOUT_A_MODEL = ("", "/ready", "/config", "/stats")


async def _limited(plane: ControlPlane) -> Caller:
    """Grant the customer one of the two models."""
    await plane.services.store.update_tenant(
        plane.customer.tenant_id, actor=TESTER, models=("double",)
    )
    return plane.customer


async def test_model_that_is_not_granted_is_as_if_it_were_not(plane: ControlPlane) -> None:
    """Everything that is told of a model is told of one that never was."""
    caller = await _limited(plane)
    paths = [f"{version}{end}" for version in ("", "/versions/1") for end in ABOUT_A_MODEL]
    for path in paths:
        answers = [
            await caller.get(f"/v2/models/{name}{path}")
            for name in ("secret-sauce", "nothing-here")
        ]
        bodies = [{**answer.json(), "request_id": ""} for answer in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert bodies[0] == bodies[1]
        assert isinstance(bodies[0]["error"], str)


async def test_lists_hold_what_is_granted(plane: ControlPlane) -> None:
    """The index and the statistics of all models."""
    caller = await _limited(plane)
    index = (await caller.post("/v2/repository/index", {})).json()
    assert index == [{"name": "double", "version": "1", "state": "READY", "reason": ""}]
    stats = (await caller.get("/v2/models/stats")).json()["model_stats"]
    assert [item["name"] for item in stats] == ["double"]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b"7"])
async def test_index_refuses_what_is_no_request(plane: ControlPlane, body: bytes) -> None:
    """With a sentence, never with a 5xx."""
    answer = await plane.customer.call("POST", "/v2/repository/index", content=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


async def test_model_is_taken_out_and_brought_back(plane: ControlPlane) -> None:
    """Status 200 exactly, and the index tells."""
    unloaded = await plane.admin.call("POST", "/v2/repository/models/double/unload")
    assert (unloaded.status_code, unloaded.json()) == (200, {})
    assert (await plane.customer.get("/v2/models/double/ready")).status_code >= 400
    ready = await plane.customer.post("/v2/repository/index", {"ready": True})
    assert "double" not in {item["name"] for item in ready.json()}
    loaded = await plane.admin.post("/v2/repository/models/double/load", {"parameters": {}})
    assert (loaded.status_code, loaded.json()) == (200, {})


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_model_that_is_not_there_cannot_be_changed(plane: ControlPlane, verb: str) -> None:
    """Nor can one be brought along with the request."""
    path = f"/v2/repository/models/nothing-here/{verb}"
    assert (await plane.admin.call("POST", path)).status_code == 404
    files = {"parameters": {"config": "{}"}}
    answer = await plane.admin.post(f"/v2/repository/models/double/{verb}", files)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_health_is_told_in_the_words_of_the_protocol(plane: ControlPlane) -> None:
    """To everybody."""
    assert (await plane.client.get("/v2/health/live")).json() == {"live": True}
    assert (await plane.client.get("/v2/health/ready")).json() == {"ready": True}
