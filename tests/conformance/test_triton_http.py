"""`tritonclient.http` and `tritonclient.http.aio`, unchanged, as their users call them."""

import pytest

from tests.conformance.triton_servers import Orders, Results, ask_triton
from tests.typed_models import ONNX_TYPES


@pytest.fixture(scope="module", params=["http", "http.aio"])
def results(request: pytest.FixtureRequest, triton_orders: Orders) -> Results:
    """Let one of the two clients go through everything."""
    is_aio = request.param == "http.aio"
    return ask_triton("http", triton_orders["http"], asynchronous=is_aio)


def test_server_is_described(results: Results) -> None:
    """Its health to everybody, and its extensions."""
    found = results["server"]
    assert (found["live"], found["ready"], found["name"]) == (True, True, "tollgate")
    assert {"binary_tensor_data", "classification", "statistics"} <= set(found["extensions"])


def test_models_are_described(results: Results) -> None:
    """Readiness, metadata, configuration and the index."""
    found = results["models"]
    readiness = (found["ready"], found["version_ready"], found["unknown_ready"])
    assert readiness == (True, True, False)
    x = {"name": "x", "datatype": "FP32", "shape": [-1]}
    metadata = found["metadata"]
    assert (metadata["inputs"], metadata["versions"]) == ([x], ["1"])
    assert (found["config"]["name"], found["config"]["max_batch_size"]) == ("fp32", 64)
    assert found["config"]["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": []}]
    assert found["index"] == sorted([*ONNX_TYPES, "scores", "wide"])
    assert found["states"] == ["READY"]


def test_every_datatype_comes_back(results: Results) -> None:
    """Both ends of each, in binary and, but for half precision, in JSON."""
    assert len(results["datatypes"]) == 12
    assert len(results["json_datatypes"]) == 11
    assert all(results["datatypes"].values()), results["datatypes"]
    assert all(results["json_datatypes"].values()), results["json_datatypes"]


def test_text_comes_back(results: Results) -> None:
    """BYTES, with an empty element and one with a zero, in both forms."""
    assert results["text"] == [["é", "", "a\0b"]] * 2


def test_brain_floats_come_back(results: Results) -> None:
    """BF16."""
    assert results["brain_floats"] == [0.5, -2.0]


def test_not_a_number_comes_back(results: Results) -> None:
    """As bytes, and as the tokens that the client writes."""
    assert results["not_a_number"] == [True, True]


def test_compression_changes_nothing(results: Results) -> None:
    """None, gzip and deflate, there and back, in both forms."""
    assert len(results["compression"]) == 18
    assert all(results["compression"].values()), results["compression"]


def test_tensor_as_large_as_an_image_comes_back(results: Results) -> None:
    """600 kB each way."""
    assert results["image"]


def test_answer_names_model_version_and_request(results: Results) -> None:
    """As the caller did; what the query holds is ignored."""
    assert results["naming"] == ["fp32", "1", "mine"]


def test_classes_are_named_instead_of_numbers(results: Results) -> None:
    """Triton's classification extension."""
    assert results["classes"] == ["2.0:1", "1.0:2"]


def test_statistics_count_requests_and_rows(results: Results) -> None:
    """One request of three rows more."""
    found = results["statistics"]
    assert (found["rows"], found["requests"]) == (3, 1)
    assert 3 in found["sizes"]
    assert found["models"] == len(ONNX_TYPES) + 2


def test_refusals_have_their_statuses(results: Results) -> None:
    """Each with a sentence, which the client can read."""
    assert {what: status for what, (status, _) in results["errors"].items()} == {
        "no credential": "401",
        "bad credential": "401",
        "unknown model": "404",
        "unknown version": "404",
        "another datatype": "400",
        "another shape": "400",
        "unknown output": "400",
        "infinity in JSON": "422",
        "sequence": "400",
        "too many rows": "413",
        "too large": "413",
        "no time": "504",
    }
    assert all(sentence for _, sentence in results["errors"].values())
