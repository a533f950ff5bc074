"""Write requests of the Open Inference Protocol and read their answers, of FP32 and BYTES alone.

Written for itself, so that a mistake of the product's codec does not hide in its own measurement.
Source: Open Inference Protocol 2, "Inference Request"; Triton, "Binary Tensor Data Extension".
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from inference.protocol.open_inference_pb2 import ModelInferRequest, ModelInferResponse

GRPC_SERVICE: Final = "inference.GRPCInferenceService"

Tensor: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Tensors: TypeAlias = Mapping[str, Tensor]


def json_request(tensors: Tensors) -> bytes:
    """Write every tensor as JSON, a float with the fewest digits that tell it apart."""
    inputs = [
        _described(name, tensor) | {"data": tensor.ravel() if _is_fp32(tensor) else tensor.tolist()}
        for name, tensor in tensors.items()
    ]
    return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)


def binary_request(tensors: Tensors) -> tuple[bytes, int]:
    """Write every tensor as bytes after the JSON, and say how long the JSON is.

    Outputs are asked for in the same form.
    """
    blobs = [tensor_to_bytes(tensor) for tensor in tensors.values()]
    inputs = [
        _described(name, tensor) | {"parameters": {"binary_data_size": len(blob)}}
        for (name, tensor), blob in zip(tensors.items(), blobs, strict=True)
    ]
    head = orjson.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join([head, *blobs]), len(head)


def grpc_request(model: str, tensors: Tensors) -> bytes:
    """Write every tensor as raw contents of a `ModelInferRequest`."""
    request = ModelInferRequest(model_name=model)
    for name, tensor in tensors.items():
        request.inputs.add(name=name, datatype=_datatype(tensor), shape=tensor.shape)
        request.raw_input_contents.append(tensor_to_bytes(tensor))
    content: bytes = request.SerializeToString()
    return content


def read_grpc(content: bytes) -> list[float]:
    """Read the one output of a `ModelInferResponse`."""
    answer = ModelInferResponse.FromString(content)
    return _floats(answer.outputs[0].datatype, answer.raw_output_contents[0])


def read_json(content: bytes) -> list[float]:
    """Read the one output of an answer in JSON."""
    values: list[float] = orjson.loads(content)["outputs"][0]["data"]
    return values


def read_binary(content: bytes, json_bytes: int) -> list[float]:
    """Read the one output of an answer that ends with its bytes."""
    [output] = orjson.loads(content[:json_bytes])["outputs"]
    return _floats(output["datatype"], content[json_bytes:])


def tensor_to_bytes(tensor: Tensor) -> bytes:
    """Write a tensor: floats as they are, texts each after its length."""
    if _is_fp32(tensor):
        return tensor.tobytes()
    texts = [text.encode() for text in tensor.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def tensor_from_bytes(content: bytes | memoryview, datatype: str, shape: Sequence[int]) -> Tensor:
    """Read a tensor; floats are a view of the content."""
    if datatype == "FP32":
        return np.frombuffer(content, np.float32).reshape(shape)
    texts, place = [], 0
    while place < len(content):
        (size,) = struct.unpack_from("<I", content, place)
        texts.append(str(content[place + 4 : place + 4 + size], "utf-8"))
        place += 4 + size
    return np.array(texts, dtype=object).reshape(shape)


def _described(name: str, tensor: Tensor) -> dict[str, object]:
    return {"name": name, "datatype": _datatype(tensor), "shape": list(tensor.shape)}


def _datatype(tensor: Tensor) -> str:
    return "FP32" if _is_fp32(tensor) else "BYTES"


def _is_fp32(tensor: Tensor) -> bool:
    return tensor.dtype == np.float32


def _floats(datatype: str, content: bytes) -> list[float]:
    values: list[float] = tensor_from_bytes(content, datatype, [-1]).tolist()
    return values
