"""What a caller is told about models: those it may use, and nothing of the others."""

import pytest

from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

# What is said of models does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def _limited(plane: ControlPlane) -> Caller:
    """Grant the customer one of the two models."""
    await plane.services.store.update_tenant(
        plane.customer.tenant_id, actor=TESTER, models=("double",)
    )
    return plane.customer


async def test_caller_lists_the_models_it_may_use(plane: ControlPlane) -> None:
    """Models of others are not in the list."""
    caller = await _limited(plane)
    assert (await caller.get("/v1/models")).json() == {"models": ["double"]}
    everything = {"models": ["double", "secret-sauce"]}
    assert (await plane.stranger.get("/v1/models")).json() == everything


async def test_model_that_is_not_granted_is_as_if_it_were_not(plane: ControlPlane) -> None:
    """Status and metadata answer as for a model that never was."""
    caller = await _limited(plane)
    for path in ("{}", "{}/metadata", "{}/versions/1", "{}/versions/1/metadata"):
        answers = [
            await caller.get("/v1/models/" + path.format(name))
            for name in ("secret-sauce", "nothing-here")
        ]
        bodies = [{**answer.json(), "request_id": ""} for answer in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert bodies[0] == bodies[1]


async def test_status_serves_both_families_of_clients(plane: ControlPlane) -> None:
    """KServe reads name and ready, TensorFlow Serving the versions."""
    assert (await plane.customer.get("/v1/models/double")).json() == {
        "name": "double",
        "ready": True,
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ],
    }


async def test_version_that_is_not_there_is_not_found(plane: ControlPlane) -> None:
    """Only versions of the repository have a status."""
    assert (await plane.customer.get("/v1/models/double/versions/2")).status_code == 404


async def test_metadata_holds_an_example_that_can_be_sent(plane: ControlPlane) -> None:
    """The example of the metadata is a body that predicts, as it stands."""
    metadata = (await plane.customer.get("/v1/models/double/metadata")).json()
    assert metadata["inputs"][0]["datatype"] == "FP32"
    assert metadata["contract"]["features"] == ["amount"]
    answer = await plane.customer.post("/v1/models/double:predict", metadata["example"])
    assert answer.json() == {"predictions": [[42.0]]}
