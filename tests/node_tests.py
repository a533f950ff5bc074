"""ONNX's own tests of its operators, as models and requests of a server.

`python -m tests.node_tests` writes the list of those that are left out, with the reasons, into
`docs/node-tests.md`.

Source: the package onnx, `onnx.backend.test.case.node`.
"""

import json
import struct
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from gateway.model_settings import open_vetter
from gateway.settings import Settings
from inference.errors import InferenceError, ModelRefused
from inference.loading import ModelVersion, load_version
from inference.onnx_engine import ort
from inference.settings import InferenceSettings
from inference.tensors import DATATYPES, DATATYPES_BY_DTYPE, Tensor, Tensors
from inference.version_files import VersionPath, open_version
from inference.vetting_report import Passed, VettingReport
from tests.repositories import write_model
from tests.serving import ROOT, Server

TABLE: Final = ROOT / "docs" / "node-tests.md"

_SETTINGS: Final = InferenceSettings(inline_run_microseconds=0)
_NEWEST_FORMAT: Final = 13
_NEWEST_OPERATORS: Final = 26
"""Versions of the file format and of the operators that the engine has. Newer graphs are stamped
with them: an operator that was only widened does the same, and what is expected stays.
"""

_ABOUT: Final = """\
# ONNX's tests of its operators, behind the wire

The package onnx {onnx} brings {total} tests of operators: a graph, its inputs, and the outputs that
its authors expect. {served} of them are served as models and answered over the Open Inference
Protocol with binary tensors as expected, each within its own tolerance. Below are the others, and
why they are left out. The page is written by `python -m tests.node_tests`, and
`tests/conformance/test_node_tests.py` proves it.

| why | how many | tests |
|---|---|---|
"""
_REASONS: Final = (
    ("which is not served", "the protocol has no name for a datatype (FP8, FP4, INT4, INT2, ...)"),
    ("unknown domain", "an operator set that is not served: `ai.onnx.preview` and its like"),
    ("max_queue_rows", "more rows than a request may have unless the author of a model says so"),
    ("no row to predict", "an input without rows, which is refused"),
    ("cannot load it", f"ONNX Runtime {ort.__version__} does not load the graph"),
)


@dataclass(frozen=True)
class NodeTest:
    """One test, or the reason why it says nothing about a server."""

    name: str
    inputs: Tensors
    outputs: Sequence[Tensor]
    rtol: float
    atol: float
    left_out: str = ""

    def check(self, answers: Iterable[Tensor]) -> None:
        """Compare answers, in the order of the graph, with what is expected.

        Raises:
            AssertionError: datatype, shape or a value is another.
        """
        for answer, expected in zip(answers, self.outputs, strict=True):
            assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
            if expected.dtype.kind == "O":
                assert answer.tolist() == expected.tolist()
            else:
                wide = (answer.astype(np.float64), expected.astype(np.float64))
                np.testing.assert_allclose(*wide, rtol=self.rtol, atol=self.atol)


def list_names() -> list[str]:
    """Name every test of the package, sorted."""
    return sorted(_cases())


def write_tests(names: Iterable[str], repository: Path) -> list[NodeTest]:
    """Look at tests, and write the models of those that can be served into a repository."""
    cases = _cases()
    return [_look_at(cases[name], repository) for name in names]


def _cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {str(case.name): case for case in collect_testcases(None)}


def _look_at(case: Any, repository: Path) -> NodeTest:  # noqa: ANN401 - onnx has no types
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = min(model.ir_version, _NEWEST_FORMAT)
    for operators in [
        *model.opset_import,
        *(one for f in model.functions for one in f.opset_import),
    ]:
        if operators.domain in ("", "ai.onnx"):
            operators.version = min(operators.version, _NEWEST_OPERATORS)
    reason = _reason_of_graph(model)
    if reason:
        return NodeTest(str(case.name), {}, (), 0, 0, reason)
    names = [given.name for given in model.graph.input]
    given, expected = case.data_sets[0]
    inputs = dict(zip(names, map(_array, given), strict=False))
    outputs = tuple(map(_array, expected))
    test = NodeTest(str(case.name), inputs, outputs, float(case.rtol), float(case.atol))
    folder = write_model(repository, test.name, model.SerializeToString())
    reason = _reason_of_answer(test, VersionPath(repository, test.name, "1"))
    if reason:
        (folder / "1" / "model.onnx").unlink()
        (folder / "1").rmdir()
        folder.rmdir()
        return NodeTest(test.name, {}, (), 0, 0, reason)
    return test


def _reason_of_graph(model: Any) -> str:  # noqa: ANN401 - onnx has no types
    values = [*model.graph.input, *model.graph.output]
    if not model.graph.input or not model.graph.output:
        return "a graph without inputs, or without outputs"
    if any(value.type.WhichOneof("value") != "tensor_type" for value in values):
        return "sequences and optionals, which the protocol does not have"
    if any(node.op_type == "StringNormalizer" for node in model.graph.node):
        return "the answer depends on the languages that the machine knows"
    return ""


def _reason_of_answer(test: NodeTest, path: VersionPath) -> str:
    """Say why the engine or the contract stands in the way; nothing of it is ours to answer for."""
    try:
        version = load_version(path, _SETTINGS)
    except ModelRefused as refusal:
        return _in_words(refusal.reason)
    try:
        version.contract.check_tensors(test.inputs)
        answers = list(version.runtime.run(test.inputs).values())
    except InferenceError as error:
        return _in_words(str(error))
    except Exception:  # noqa: BLE001 - engines raise what they like
        return "the engine itself fails on the inputs"
    finally:
        version.runtime.close()
    try:
        test.check(answers)
    except AssertionError:
        return "the engine itself answers otherwise than is expected"
    return ""


def _in_words(reason: str) -> str:
    found = (words for sign, words in _REASONS if sign in reason)
    return next(found, "the engine itself fails on the inputs")


def _array(value: Any) -> Tensor:  # noqa: ANN401 - an array, a proto, a list or a number
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array.astype(object) if array.dtype.kind in "USO" else array


def remember_verdicts(tests: Iterable[NodeTest], repository: Path, data_dir: Path) -> None:
    """Write into a data folder that the models were vetted, which takes a process for each."""
    records = open_vetter(Settings(data_dir=data_dir))._records
    (data_dir / "vetted").mkdir(mode=0o700)
    for test in tests:
        path = VersionPath(repository, test.name, "1")
        with open_version(path) as files:
            digests = files.digests()
        version: ModelVersion = load_version(path, _SETTINGS)
        version.runtime.close()
        report = VettingReport(digests, version.signature, version.max_batch_size, {}, 0, 0.0)
        records.keep(digests, Passed(report))


def ask(server: Server, connection: HTTPConnection, test: NodeTest) -> list[Tensor]:
    """Ask a server over the Open Inference Protocol, with binary tensors both ways."""
    payloads = [_bytes_of(array) for array in test.inputs.values()]
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": DATATYPES_BY_DTYPE[array.dtype].name,
            "parameters": {"binary_data_size": len(payload)},
        }
        for (name, array), payload in zip(test.inputs.items(), payloads, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Authorization": f"Bearer {server.demo['api_key']}",
        "Inference-Header-Content-Length": str(len(head)),
    }
    connection.request("POST", f"/v2/models/{test.name}/infer", head + b"".join(payloads), headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, (test.name, content[:500])
    length = int(answer.headers["Inference-Header-Content-Length"])
    return list(_tensors(json.loads(content[:length]), content[length:]))


def _bytes_of(array: Tensor) -> bytes:
    if array.dtype.kind != "O":
        return array.tobytes()
    texts = [text if isinstance(text, bytes) else text.encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _tensors(document: dict[str, Any], content: bytes) -> Iterable[Tensor]:
    for output in document["outputs"]:
        size = output["parameters"]["binary_data_size"]
        payload, content = content[:size], content[size:]
        dtype = DATATYPES[output["datatype"]].dtype
        values = _texts(payload) if dtype.kind == "O" else np.frombuffer(payload, dtype)
        yield values.reshape(output["shape"])
    assert not content


def _texts(payload: bytes) -> NDArray[np.object_]:
    texts = []
    while payload:
        (length,) = struct.unpack_from("<I", payload)
        texts.append(payload[4 : 4 + length].decode())
        payload = payload[4 + length :]
    return np.array(texts, object)


def render(tests: Sequence[NodeTest]) -> str:
    """Write the page of those that are left out."""
    by_reason: dict[str, list[str]] = {}
    for test in tests:
        by_reason.setdefault(test.left_out, []).append(test.name.removeprefix("test_"))
    served = by_reason.pop("", [])
    rows = [
        f"| {reason} | {len(names)} | {', '.join(sorted(names))} |"
        for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    ]
    about = _ABOUT.format(onnx=onnx.__version__, total=len(tests), served=len(served))
    return about + "\n".join(rows) + "\n"


def main() -> None:
    """Look at every test and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        TABLE.write_text(render(write_tests(list_names(), Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
