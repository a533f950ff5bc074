"""V1 answers of a model whose output has no row for each row: columns can tell it, rows cannot."""

from collections.abc import Iterator
from typing import Any

import pytest
from onnx import helper

from tests.load import Caller
from tests.population import populate
from tests.repositories import write_model
from tests.serving import Server, free_port
from tests.unit.inference.onnx_models import model_of, tensor


def total_model(*, is_alone: bool) -> bytes:
    """Answer the sum over all rows as a scalar, alone or beside the rows. Shape: x [rows]."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)]
    outputs = [tensor("total", [])]
    if not is_alone:
        nodes.append(helper.make_node("Identity", ["x"], ["echo"]))
        outputs.append(tensor("echo", ["rows"]))
    model = model_of(nodes, [tensor("x", ["rows"])], outputs)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def totals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Caller]]:
    """Serve two models whose first output is a scalar."""
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "total", total_model(is_alone=True))
    write_model(repository, "echo-and-total", total_model(is_alone=False))
    settings = {"TOLLGATE_MODEL_REPOSITORY": str(repository)}
    running = Server(tmp_path_factory.mktemp("data"), free_port(), settings=settings)
    running.start()
    yield running, populate(running, tenants=1, keys_each=1)[0]
    running.stop()


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("total", {"inputs": [1, 2, 3]}, {"outputs": 6.0}),
        (
            "echo-and-total",
            {"inputs": [1, 2]},
            {"outputs": {"total": 3.0, "echo": [1.0, 2.0]}},
        ),
    ],
)
def test_scalar_output_is_told_in_column_form(
    totals: tuple[Server, Caller], *, model: str, body: dict[str, Any], expected: object
) -> None:
    """Columns may have any shape."""
    server, caller = totals
    answer = server.predict(caller.api_key, body, model=model)
    assert (answer.status, answer.body) == (200, expected)


@pytest.mark.parametrize("model", ["total", "echo-and-total"])
def test_scalar_output_is_refused_in_row_form(totals: tuple[Server, Caller], model: str) -> None:
    """TensorFlow Serving: each output must have a row for each instance; the caller is told."""
    server, caller = totals
    answer = server.predict(caller.api_key, {"instances": [1, 2]}, model=model)
    assert answer.status in (400, 422)
