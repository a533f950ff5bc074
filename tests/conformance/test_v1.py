"""TensorFlow Serving's and KServe's V1 REST API, one row for each thing it demands.

Source: TensorFlow Serving, "RESTful API": request and response formats, predict API, model status
API, model metadata API, encoding binary values, JSON conformance.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.load import Caller
from tests.serving import Answer, Server


@dataclass(frozen=True)
class Row:
    """A request to a model and the body that must come back with 200."""

    model: str
    body: dict[str, Any]
    answer: dict[str, Any]


HELLO = base64.b64encode(b"hello").decode()
SERVED = {
    "row form, lists": Row("linear", {"instances": [[1, 2, 3]]}, {"predictions": [[321.0]]}),
    "row form, bare values": Row("scaled", {"instances": [1, 2.5]}, {"predictions": [2.0, 5.0]}),
    "row form, object for one input": Row(
        "scaled", {"instances": [{"x": 1}]}, {"predictions": [2.0]}
    ),
    "row form, objects for two inputs": Row(
        "sum", {"instances": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]}, {"predictions": [3.0, 7.0]}
    ),
    "row form, objects of named features": Row(
        "named", {"instances": [{"amount": 21}]}, {"predictions": [42.0]}
    ),
    "row form, two outputs": Row(
        "parts",
        {"instances": [1, 2]},
        {"predictions": [{"double": 2.0, "negative": -1.0}, {"double": 4.0, "negative": -2.0}]},
    ),
    "row form, text": Row("greeting", {"instances": ["hello"]}, {"predictions": ["hello"]}),
    "row form, binary": Row(
        "greeting", {"instances": [{"b64": HELLO}, "you"]}, {"predictions": ["hello", "you"]}
    ),
    "row form, binary by input name": Row(
        "greeting", {"instances": [{"text": {"b64": HELLO}}]}, {"predictions": ["hello"]}
    ),
    "column form, bare tensor": Row("linear", {"inputs": [[1, 2, 3]]}, {"outputs": [[321.0]]}),
    "column form, object": Row("scaled", {"inputs": {"x": [1, 2]}}, {"outputs": [2.0, 4.0]}),
    "column form, two inputs": Row(
        "sum", {"inputs": {"a": [1, 3], "b": [2, 4]}}, {"outputs": [3.0, 7.0]}
    ),
    "column form, named features": Row(
        "named", {"inputs": {"amount": [1, 2]}}, {"outputs": [2.0, 4.0]}
    ),
    "column form, two outputs": Row(
        "parts", {"inputs": [1, 2]}, {"outputs": {"double": [2.0, 4.0], "negative": [-1.0, -2.0]}}
    ),
    "column form, binary": Row(
        "greeting", {"inputs": {"text": [{"b64": HELLO}]}}, {"outputs": ["hello"]}
    ),
    "signature by name": Row(
        "scaled", {"signature_name": "serving_default", "instances": [1]}, {"predictions": [2.0]}
    ),
    "text beyond ASCII": Row("greeting", {"instances": ["żółć"]}, {"predictions": ["żółć"]}),
    "number exact to the last bit": Row(
        "identity", {"instances": [0.1, 1e-300, 2**53]}, {"predictions": [0.1, 1e-300, 2.0**53]}
    ),
}
INVALID: dict[str, tuple[str, dict[str, Any]]] = {
    "both forms": ("scaled", {"instances": [1], "inputs": [1]}),
    "neither form": ("scaled", {"signature_name": "serving_default"}),
    "another signature": ("scaled", {"signature_name": "other", "instances": [1]}),
    "signature that is no text": ("scaled", {"signature_name": None, "instances": [1]}),
    "instances that are no list": ("scaled", {"instances": {"x": [1]}}),
    "no instance": ("scaled", {"instances": []}),
    "unknown input": ("sum", {"inputs": {"a": [1], "b": [1], "c": [1]}}),
    "columns of different lengths": ("sum", {"inputs": {"a": [1, 2], "b": [1]}}),
    "bare tensor for two inputs": ("sum", {"inputs": [1, 2]}),
    "list where KServe reads rows": ("named", {"inputs": [{"amount": 1}]}),
}
VIOLATING: dict[str, tuple[str, dict[str, Any]]] = {
    "row of another shape": ("linear", {"instances": [[1, 2]]}),
    "text for a number": ("scaled", {"instances": ["1"]}),
    "missing input": ("sum", {"instances": [{"a": 1}]}),
    "number under the minimum": ("named", {"instances": [{"amount": -1}]}),
    "broken base64": ("greeting", {"instances": [{"b64": "*"}]}),
    "binary that is no text": ("greeting", {"instances": [{"b64": "/w=="}]}),
}


@pytest.mark.parametrize("row", SERVED.values(), ids=SERVED.keys())
def test_request_is_answered_in_its_own_form(
    v1_server: Server, v1_caller: Caller, row: Row
) -> None:
    """Rows get predictions, columns get outputs, with success exactly 200."""
    answer = v1_server.predict(v1_caller.api_key, row.body, model=row.model)
    assert (answer.status, answer.body) == (200, row.answer)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", INVALID)
def test_invalid_argument_is_400(v1_server: Server, v1_caller: Caller, name: str) -> None:
    """What is no request of the model is an invalid argument."""
    model, body = INVALID[name]
    assert_refused(v1_server.predict(v1_caller.api_key, body, model=model), 400)


@pytest.mark.parametrize("name", VIOLATING)
def test_violated_contract_is_422(v1_server: Server, v1_caller: Caller, name: str) -> None:
    """A value that the model's contract forbids is named by its row."""
    model, body = VIOLATING[name]
    answer = v1_server.predict(v1_caller.api_key, body, model=model)
    assert_refused(answer, 422)
    assert answer.body["errors"][0]["row"] == 0


def assert_refused(answer: Answer, status: int) -> None:
    """Check a refusal as V1 clients read it: `error` is text, and nothing was billed."""
    assert answer.status == status, answer.body
    assert isinstance(answer.body["error"], str)
    assert answer.body["error"]
    assert "tollgate-units" not in answer.headers


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_content_type_does_not_matter(
    v1_server: Server, v1_caller: Caller, content_type: str
) -> None:
    """Real clients send none, or a wrong one."""
    answer = v1_server.call(
        "POST",
        "/v1/models/scaled:predict?ignored=1",
        key=v1_caller.api_key,
        body={"instances": [1]},
        headers={"Content-Type": content_type},
    )
    assert (answer.status, answer.body) == (200, {"predictions": [2.0]})


@pytest.mark.parametrize("version", ["1", "2"])
def test_version_in_the_path_answers_and_is_named(
    v1_server: Server, v1_caller: Caller, version: str
) -> None:
    """Every version of the folder is served under its number."""
    path = f"/v1/models/scaled/versions/{version}:predict"
    answer = v1_server.call("POST", path, key=v1_caller.api_key, body={"instances": [1]})
    assert (answer.status, answer.body) == (200, {"predictions": [float(version)]})
    assert answer.headers["tollgate-model-version"] == version


def test_unnamed_version_is_the_highest(v1_server: Server, v1_caller: Caller) -> None:
    """Without a version the newest answers."""
    answer = v1_server.predict(v1_caller.api_key, {"instances": [1]}, model="scaled")
    assert answer.headers["tollgate-model-version"] == "2"


def test_model_name_may_be_percent_quoted(v1_server: Server, v1_caller: Caller) -> None:
    """Clients quote names as they like."""
    answer = v1_server.predict(v1_caller.api_key, {"instances": [1]}, model="%73caled")
    assert answer.body == {"predictions": [2.0]}


def test_units_follow_the_rows_and_the_weight(v1_server: Server, v1_caller: Caller) -> None:
    """Three units for each of two rows, in row form and in column form."""
    for body in ({"instances": [{"amount": 1}] * 2}, {"inputs": {"amount": [1, 1]}}):
        answer = v1_server.predict(v1_caller.api_key, body, model="named")
        assert answer.headers["tollgate-units"] == "6"


def test_status_document_serves_both_families(v1_server: Server, v1_caller: Caller) -> None:
    """TensorFlow Serving reads the list, KServe reads name and ready."""
    answer = v1_server.call("GET", "/v1/models/scaled", key=v1_caller.api_key)
    fine = {"error_code": "OK", "error_message": ""}
    versions = [{"version": number, "state": "AVAILABLE", "status": fine} for number in ("1", "2")]
    assert answer.status == 200
    assert (answer.body["name"], answer.body["ready"]) == ("scaled", True)
    assert sorted(answer.body["model_version_status"], key=lambda item: item["version"]) == versions


def test_status_of_one_version(v1_server: Server, v1_caller: Caller) -> None:
    """The path of a version tells about it alone."""
    answer = v1_server.call("GET", "/v1/models/scaled/versions/1", key=v1_caller.api_key)
    assert [item["version"] for item in answer.body["model_version_status"]] == ["1"]


def test_broken_model_says_so_and_is_unavailable(v1_server: Server, v1_caller: Caller) -> None:
    """Its status is told, its prediction is 503, and its neighbours are served."""
    status = v1_server.call("GET", "/v1/models/broken", key=v1_caller.api_key)
    assert (status.status, status.body["ready"]) == (200, False)
    assert status.body["model_version_status"][0]["status"]["error_code"] == "UNAVAILABLE"
    answer = v1_server.predict(v1_caller.api_key, {"instances": [1]}, model="broken")
    assert_refused(answer, 503)


def test_list_names_the_models_that_can_be_used(v1_server: Server, v1_caller: Caller) -> None:
    """KServe's list of models, without one that did not load."""
    names = v1_server.call("GET", "/v1/models", key=v1_caller.api_key).body["models"]
    assert {"linear", "sum", "parts", "greeting", "scaled", "named"} <= set(names)
    assert "broken" not in names


@pytest.mark.parametrize("model", ["linear", "sum", "parts", "greeting", "named"])
def test_metadata_example_is_answered(v1_server: Server, v1_caller: Caller, model: str) -> None:
    """The signature document holds tensors and a body that can be posted as it stands."""
    path = f"/v1/models/{model}/metadata"
    document = v1_server.call("GET", path, key=v1_caller.api_key).body
    assert all({"name", "datatype", "shape"} <= item.keys() for item in document["inputs"])
    assert all(item["shape"][0] == -1 for item in document["inputs"] + document["outputs"])
    assert v1_server.predict(v1_caller.api_key, document["example"], model=model).status == 200


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number_is_taken_for_a_float(
    v1_server: Server, v1_caller: Caller, token: str
) -> None:
    """Clients write bare tokens; the graph's reciprocal of an infinity is finite."""
    body = b'{"instances": [%s]}' % token.encode()
    answer = v1_server.predict(v1_caller.api_key, body, model="reciprocal")
    assert answer.status == (422 if token == "NaN" else 200)
    assert b"null" not in json.dumps(answer.body).encode()


def test_output_that_json_cannot_carry_is_422(v1_server: Server, v1_caller: Caller) -> None:
    """Never a silent null, never a 500, and the caller learns which output it was."""
    answer = v1_server.predict(v1_caller.api_key, {"instances": [1, 0]}, model="reciprocal")
    assert_refused(answer, 422)
    assert answer.body["code"] == "output_not_finite"
    assert answer.body["detail"].endswith("holds NaN or infinity, which JSON cannot carry")


def test_each_outcome_has_the_status_of_the_map(v1_server: Server, v1_caller: Caller) -> None:
    """Unauthenticated 401, denied 403, not found 404, too large 413: one problem form for all."""
    reader = make_reader(v1_server, v1_caller)
    body = {"instances": [1]}
    large = {"instances": [1] * 40_000}
    assert_refused(v1_server.predict("", body, model="scaled"), 401)
    assert_refused(v1_server.predict(reader, body, model="scaled"), 403)
    assert_refused(v1_server.predict(v1_caller.api_key, body, model="none"), 404)
    assert_refused(v1_server.predict(v1_caller.api_key, large, model="scaled"), 413)


def make_reader(server: Server, caller: Caller) -> str:
    """Issue a key of the same tenant that may not predict."""
    body = {"name": "reader", "scopes": ["models:read"]}
    path = f"/v1/tenants/{caller.tenant_id}/keys"
    return str(server.call("POST", path, key=server.demo["admin_key"], body=body).body["api_key"])
