"""Look into a model file before any engine does: models are untrusted.

Source: onnx.proto3, messages ModelProto, TensorProto and FunctionProto.
"""

from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

from inference.errors import ModelRefused

VALUE_DRIVEN = frozenset(
    (
        "ConstantOfShape",
        "Expand",
        "If",
        "Loop",
        "OneHot",
        "Pad",
        "Range",
        "Resize",
        "Scan",
        "SequenceMap",
        "StringSplit",
        "Tile",
        "Upsample",
    )
)
FOREIGN_CODE = frozenset({"ATen", "EPContext", "PythonOp", "PythonOpGrad"})
"""Operators of `com.microsoft` that hand files or code of the model's to something else."""

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def verify_model(name: str, content: bytes) -> onnx.ModelProto:
    """Check the bytes of a `model.onnx` and return it parsed; that opens no other file.

    Threat: a tensor with EXTERNAL data names a file that the engine reads, wherever it lies; an
    operator of an unknown domain is code that this server does not have; a field that a later ONNX
    has could be a way to either that the engine knows and this function does not.

    Raises:
        ModelRefused: not a whole ONNX model, external data anywhere, an unknown domain or field.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ModelRefused(name, "not an ONNX file, or not all of it") from None
    if not model.HasField("graph") or not model.opset_import:
        raise ModelRefused(name, "not a whole ONNX model: no graph or no operator set")
    local = {(function.domain, function.name) for function in model.functions}
    for message in _walk(model):
        _verify_message(name, message, local)
    return model


def has_value_driven_work(model: onnx.ModelProto) -> bool:
    """Say whether values, not shapes, may decide how much work or memory a run takes."""
    return any(
        message.DESCRIPTOR.name == "NodeProto" and message.op_type in VALUE_DRIVEN
        for message in _walk(model)
    )


def _verify_message(name: str, message: Any, local: set[tuple[str, str]]) -> None:  # noqa: ANN401 - generated classes
    kind = message.DESCRIPTOR.name
    if len(UnknownFieldSet(message)) > 0:
        raise ModelRefused(name, f"{kind} has a field that this server does not know")
    if kind == "TensorProto" and _is_external(message):
        raise ModelRefused(name, f"tensor {message.name!r} has external data")
    if kind == "NodeProto" and not _is_known(message, local):
        raise ModelRefused(name, f"operator {message.op_type!r} has domain {message.domain!r}")
    if kind == "NodeProto" and message.op_type in FOREIGN_CODE:
        raise ModelRefused(name, f"operator {message.op_type!r} is not served")
    if kind == "OperatorSetIdProto" and not _is_known_domain(message.domain, local):
        raise ModelRefused(name, f"operator set of the unknown domain {message.domain!r}")


def _is_external(tensor: Any) -> bool:  # noqa: ANN401 - generated classes
    is_marked = tensor.data_location != onnx.TensorProto.DEFAULT
    return is_marked or len(tensor.external_data) > 0


def _is_known(node: Any, local: set[tuple[str, str]]) -> bool:  # noqa: ANN401 - generated classes
    return node.domain in ALLOWED_DOMAINS or (node.domain, node.op_type) in local


def _is_known_domain(domain: str, local: set[tuple[str, str]]) -> bool:
    return domain in ALLOWED_DOMAINS or any(domain == known for known, _ in local)


def _walk(root: Message) -> Iterator[Message]:
    """Visit every message inside the model, whatever field carries it.

    Threat: a list of known carriers would miss one that a later version of ONNX adds.
    """
    waiting = [root]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += value if _is_repeated(field) else [value]


def _is_repeated(field: Any) -> bool:  # noqa: ANN401 - generated classes
    return bool(field.is_repeated)
