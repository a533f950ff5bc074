"""`tritonclient.grpc` and `tritonclient.grpc.aio`, unchanged, as their users call them."""

import pytest

from tests.conformance.triton_servers import Orders, Results, ask_triton
from tests.typed_models import ONNX_TYPES


@pytest.fixture(scope="module", params=["grpc", "grpc.aio"])
def results(request: pytest.FixtureRequest, triton_orders: Orders) -> Results:
    """Let one of the two clients go through everything."""
    is_aio = request.param == "grpc.aio"
    return ask_triton("grpc", triton_orders["grpc"], asynchronous=is_aio)


def test_server_says_how_it_is(results: Results) -> None:
    """Without a credential, but for its name."""
    assert results["server"] == {"live": True, "ready": True, "name": "tollgate"}


def test_models_are_described(results: Results) -> None:
    """Readiness, metadata, configuration and the index."""
    found = results["models"]
    assert found["ready"]
    assert found["metadata"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1"]}]
    assert (found["config"]["name"], found["config"]["max_batch_size"]) == ("fp32", 64)
    assert found["config"]["input"] == [{"name": "x", "data_type": "TYPE_FP32"}]
    assert found["index"] == sorted([*ONNX_TYPES, "scores", "wide"])


def test_every_datatype_comes_back(results: Results) -> None:
    """Both ends of each, bit by bit."""
    assert len(results["datatypes"]) == 12
    assert all(results["datatypes"].values()), results["datatypes"]


def test_text_comes_back(results: Results) -> None:
    """BYTES, with an empty element and one with a zero."""
    assert results["text"] == ["é", "", "a\0b"]


def test_brain_floats_come_back(results: Results) -> None:
    """BF16."""
    assert results["brain_floats"] == [0.5, -2.0]


def test_compressed_requests_are_answered(results: Results) -> None:
    """Both codings of gRPC."""
    assert results["compression"] == {"gzip": True, "deflate": True}


def test_tensor_as_large_as_an_image_comes_back(results: Results) -> None:
    """600 kB each way."""
    assert results["image"]


def test_answer_names_model_version_and_request(results: Results) -> None:
    """As the caller did."""
    assert results["naming"] == ["fp32", "1", "mine"]


def test_classes_are_named_instead_of_numbers(results: Results) -> None:
    """Triton's classification extension."""
    assert results["classes"] == ["2.0:1", "1.0:2"]


def test_statistics_count_requests(results: Results) -> None:
    """One request more after one request."""
    assert results["statistics"] == ["fp64", "1", 1]


def test_refusals_have_their_statuses(results: Results) -> None:
    """Each with the code that clients of gRPC know, and a sentence."""
    assert {what: status for what, (status, _) in results["errors"].items()} == {
        "no credential": "StatusCode.UNAUTHENTICATED",
        "bad credential": "StatusCode.UNAUTHENTICATED",
        "unknown model": "StatusCode.NOT_FOUND",
        "unknown version": "StatusCode.NOT_FOUND",
        "another datatype": "StatusCode.INVALID_ARGUMENT",
        "another shape": "StatusCode.INVALID_ARGUMENT",
        "unknown output": "StatusCode.INVALID_ARGUMENT",
        "no time": "StatusCode.DEADLINE_EXCEEDED",
    }
    assert all(sentence for _, sentence in results["errors"].values())


def test_what_is_not_served_says_so(results: Results) -> None:
    """Shared memory, traces and log settings are not for customers."""
    assert set(results["unserved"].values()) == {"StatusCode.UNIMPLEMENTED"}
    assert len(results["unserved"]) == 3
