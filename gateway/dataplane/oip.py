"""The codec of the Open Inference Protocol over HTTP, binary tensors included.

Source: Open Inference Protocol 2, "Inference"; Triton, "Binary Tensor Data Extension".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from gateway.dataplane.codec import Encoded
from gateway.dataplane.oip_answer import (
    HEADER_LENGTH,
    check_classes,
    wanted_outputs,
    write_answer,
)
from gateway.dataplane.oip_request import InferRequest, WantedOutput, read_request
from gateway.dataplane.oip_tensors import read_raw_tensor, read_tensors
from gateway.errors import RequestInvalid
from inference.registry import ModelVersion
from inference.tensors import Tensors

_RAW = 0
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class DecodedInfer:
    """A validated inference request."""

    tensors: Tensors
    rows: int
    timeout_seconds: float | None
    id: str | None
    wanted: list[WantedOutput]


class OipCodec:
    """Decode and encode one `infer` request; `header_length` is how much of its body is JSON.

    None: all of it. 0: nothing, the body is the only input and the answer is all binary.
    """

    protocol = "oip"

    def __init__(self, header_length: int | None = None) -> None:
        self._header_length = header_length

    @classmethod
    def of_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> Self:
        """Make the codec of a request with these headers.

        Raises:
            RequestInvalid: the length of the JSON is not one number.
        """
        given = [value for name, value in headers if name == HEADER_LENGTH]
        if not given:
            return cls()
        if len(given) > 1 or not given[0].isdigit() or len(given[0]) > _MAX_DIGITS:
            raise RequestInvalid("Inference-Header-Content-Length is not a number")
        return cls(int(given[0]))

    def decode(self, body: bytes | memoryview, model: ModelVersion) -> DecodedInfer:
        """Read a request.

        Raises:
            JsonInvalid: its JSON part is not one JSON document.
            RequestInvalid: it is not a request of the protocol, or asks for what is not served.
            InputInvalid: a tensor is not as the model takes it, or a wanted output is unknown.
            ContractViolated: values break the contract.
            TooManyRows: more rows than the queue can ever hold.
        """
        if self._header_length == _RAW:
            request = InferRequest(is_binary=True)
            tensors = read_raw_tensor(body, model)
        else:
            json_part, binary = self._parts(body)
            request = read_request(json_part, model)
            tensors = read_tensors(request.inputs, json_part, binary, model=model)
        wanted = wanted_outputs(request, model)
        rows = model.contract.check_tensors(tensors)
        check_classes(wanted, rows)
        return DecodedInfer(tensors, rows, request.timeout_seconds, request.id, wanted)

    def encode(self, outputs: Tensors, decoded: DecodedInfer, model: ModelVersion) -> Encoded:
        """Write the answer; raises as `write_answer`."""
        return write_answer(outputs, decoded.wanted, request_id=decoded.id, model=model)

    def _parts(self, body: bytes | memoryview) -> tuple[bytes, memoryview]:
        """Cut a body into its JSON and its binary part; only the JSON is copied.

        Raises:
            RequestInvalid: the body ends before its JSON.
        """
        length = len(body) if self._header_length is None else self._header_length
        if length > len(body):
            raise RequestInvalid("Inference-Header-Content-Length is more than the body has")
        if length == len(body) and isinstance(body, bytes):
            return body, memoryview(b"")
        view = memoryview(body)
        return bytes(view[:length]), view[length:]
