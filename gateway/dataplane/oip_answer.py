"""Write the answer to an inference request, as JSON alone or with binary tensors behind it.

Source: Open Inference Protocol 2, "Inference Response"; Triton, "Binary Tensor Data Extension".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from gateway.dataplane.classification import MAX_CLASSES, MAX_TEXTS, top_classes
from gateway.dataplane.codec import Encoded
from gateway.dataplane.oip_request import InferRequest, WantedOutput
from gateway.errors import OutputNotFinite, RequestInvalid
from inference.errors import InputInvalid
from inference.registry import ModelVersion
from inference.tensor_bytes import tensor_to_bytes
from inference.tensor_json import BINARY_ONLY
from inference.tensors import BYTES, DATATYPES_BY_DTYPE, Tensor, Tensors

HEADER_LENGTH: Final = b"inference-header-content-length"
_JSON: Final = ((b"content-type", b"application/json"),)
_BINARY: Final = (b"content-type", b"application/octet-stream")
_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY


def wanted_outputs(request: InferRequest, model: ModelVersion) -> list[WantedOutput]:
    """List the outputs of an answer in their order, and refuse what it could not carry.

    Raises:
        InputInvalid: an output is unknown, or has no classes to choose from.
        RequestInvalid: an output that only binary data carries is wanted in JSON, or more classes
            than are told of a row.
    """
    specs = {spec.name: spec for spec in model.signature.outputs}
    wanted = request.outputs
    if wanted is None:
        wanted = [WantedOutput(name, request.is_binary, 0) for name in specs]
    for output in wanted:
        spec = specs.get(output.name)
        if spec is None:
            raise InputInvalid(f"the outputs of the model are {', '.join(specs)}")
        if output.classes and spec.datatype == BYTES:
            raise InputInvalid(f"output {spec.name} is text and has no classes")
        if output.classes > MAX_CLASSES:
            raise RequestInvalid(f"at most {MAX_CLASSES} classes of a row can be asked for")
        if not output.is_binary and not output.classes and spec.datatype in BINARY_ONLY:
            raise RequestInvalid(
                f"output {spec.name} is {spec.datatype}: ask for it with binary_data"
            )
    return wanted


def check_classes(wanted: Sequence[WantedOutput], rows: int) -> None:
    """Pass if the classes of all rows can be written without others waiting long for it.

    Raises:
        RequestInvalid: they are too many.
    """
    if rows * sum([output.classes for output in wanted]) > MAX_TEXTS:
        raise RequestInvalid(f"at most {MAX_TEXTS} classes can be asked for, of all rows together")


def write_answer(
    outputs: Tensors, wanted: Sequence[WantedOutput], *, request_id: str | None, model: ModelVersion
) -> Encoded:
    """Write an answer; tensors stand behind the JSON in the order in which it names them.

    Raises:
        OutputNotFinite: an output in JSON holds NaN or infinity; orjson would write null in
            silence.
        RequestInvalid: an output in JSON holds bytes that are no text.
    """
    tensors = {output.name: wanted_tensor(outputs[output.name], output, model) for output in wanted}
    blobs = {
        output.name: tensor_to_bytes(tensors[output.name]) for output in wanted if output.is_binary
    }
    document: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request_id is not None:
        document["id"] = request_id
    document["outputs"] = [_described(name, tensors[name], blobs.get(name)) for name in tensors]
    head = _dumped(document)
    if b"null" in head:
        _refuse_non_finite(tensors, blobs)
    if not blobs:
        return Encoded(head, len(head), _JSON)
    body = b"".join([head, *blobs.values()])
    return Encoded(body, len(body), (_BINARY, (HEADER_LENGTH, b"%d" % len(head))))


def wanted_tensor(array: Tensor, output: WantedOutput, model: ModelVersion) -> Tensor:
    """Return an output as it is wanted: itself, or its highest classes."""
    if not output.classes:
        return array
    has_rows = model.signature.is_batchable and array.ndim > 0
    labels = next((doc.labels for doc in model.outputs if doc.name == output.name), ())
    return top_classes(array, output.classes, has_rows=has_rows, labels=labels)


def _described(name: str, tensor: Tensor, blob: bytes | None) -> dict[str, object]:
    described: dict[str, object] = {
        "name": name,
        "datatype": DATATYPES_BY_DTYPE[tensor.dtype].name,
        "shape": list(tensor.shape),
    }
    if blob is not None:
        return described | {"parameters": {"binary_data_size": len(blob)}}
    return described | {"data": _jsonable(tensor)}


def _jsonable(tensor: Tensor) -> object:
    if tensor.dtype.kind == "O":
        return [_text(element) for element in tensor.ravel().tolist()]
    return np.ascontiguousarray(tensor).ravel()


def _text(element: str | bytes) -> str:
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise RequestInvalid("an output is no text: ask for it with binary_data") from None


def _dumped(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=_DUMP)


def _refuse_non_finite(tensors: Tensors, blobs: Mapping[str, bytes]) -> None:
    for name, tensor in tensors.items():
        if name not in blobs and tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise OutputNotFinite(name, advice=": ask for it with binary_data")
