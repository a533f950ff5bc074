"""The codec of requests or answers that are tables, in whichever form each of them is.

One request may be JSON and be answered as CSV, or the other way round: how a body is written says
nothing about how its answer is. What is no table here is the V1 protocol's JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.dataplane.codec import Encoded, Tensors
from gateway.dataplane.v1 import Decoded, V1Codec
from gateway.errors import MediaTypeUnsupported, RequestInvalid
from inference.registry import ModelVersion
from inference.table import Cells, Table, column_names

_V1: Final = V1Codec()
_LIST_RANK: Final = 2

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How a table is read from a body."""

    protocol: str
    """As usage records name it."""

    read: Callable[[bytes, Table, int], Cells]
    """Takes the body, the columns and the most rows."""

    variant: str = ""
    """Tells two ways to read the same protocol apart."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a table is written."""

    media_type: bytes
    write: Callable[[Columns], bytes]
    is_flat: bool
    """A cell holds one value, so that an output of shape [rows, n] makes n columns."""


class TableCodec:
    """Read one form and write another; None is the JSON of V1."""

    def __init__(self, request: RequestForm | None, answer: AnswerForm | None) -> None:
        self.protocol = _V1.protocol if request is None else request.protocol
        self._request = request
        self._answer = answer

    @property
    def form(self) -> str:
        """Say how a body is read and its answer is written."""
        request, answer = self._request, self._answer
        read = self.protocol if request is None else f"{request.protocol} {request.variant}"
        return f"{read} {_V1.protocol if answer is None else answer.media_type.decode()}"

    def decode(self, body: bytes, model: ModelVersion) -> Decoded:
        """Read a body against a model's contract.

        Raises:
            MediaTypeUnsupported: the model's rows are no rows of a table.
            RequestError, InferenceError: as the form's `read` and the contract say.
        """
        if self._request is None:
            return _V1.decode(body, model)
        contract = model.contract
        if contract.table is None:
            raise MediaTypeUnsupported("the rows of this model are no rows of a table: send JSON")
        cells = self._request.read(body, contract.table, contract.max_rows)
        tensors = contract.table_to_tensors(cells)
        return Decoded(tensors, contract.row_count(tensors), "instances")

    def encode(self, outputs: Tensors, decoded: Decoded, model: ModelVersion) -> Encoded:
        """Write an answer with one row for each row of the request.

        Raises:
            OutputNotFinite: as V1 says; a table carries every number.
            RequestInvalid: the answer has no such rows, or no cells that the form can hold.
        """
        if self._answer is None:
            return _V1.encode(outputs, decoded, model)
        columns = {
            name: _squeezed(array, model, name)
            for name, array in outputs.items()
            if _has_rows(array, decoded.rows)
        }
        if len(columns) < len(outputs):
            raise RequestInvalid("the model has no answer for each row, so that it is no table")
        payload = self._answer.write(_flattened(columns) if self._answer.is_flat else columns)
        return Encoded(payload, len(payload), ((b"content-type", self._answer.media_type),))


def _has_rows(array: NDArray[Any], rows: int) -> bool:
    return array.ndim > 0 and len(array) == rows


def _squeezed(array: NDArray[Any], model: ModelVersion, name: str) -> NDArray[Any]:
    """Make one column of an output that the graph says has one; no table has cells of BF16."""
    array = array.astype(np.float32) if array.dtype.kind == "V" else array
    spec = next(spec for spec in model.signature.outputs if spec.name == name)
    return array[:, 0] if array.ndim == _LIST_RANK and spec.shape[1:] == (1,) else array


def _flattened(columns: Columns) -> Columns:
    flat: dict[str, NDArray[Any]] = {}
    for name, array in columns.items():
        if array.ndim > _LIST_RANK:
            raise RequestInvalid(f"output {name} has more than one dimension a row: ask for JSON")
        if array.ndim == 1:
            flat[name] = array
            continue
        names = [f"{name}[0]"] if array.shape[1] == 1 else column_names(name, array.shape[1])
        flat |= dict(zip(names, array.T, strict=True))
    return flat
