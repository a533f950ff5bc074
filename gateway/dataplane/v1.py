"""The V1 codec: TensorFlow Serving's and KServe's REST bodies to tensors and back.

Source: TensorFlow Serving REST API, "Predict API"; where KServe reads a list under `inputs` as
rows, this follows TensorFlow Serving and reads columns.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.dataplane.codec import Encoded
from gateway.dataplane.json_document import has_more_members, parse_fast, parse_strict
from gateway.errors import OutputNotFinite, RequestInvalid
from inference.contract import Contract
from inference.registry import ModelVersion

Tensors = dict[str, NDArray[Any]]
Form = Literal["instances", "inputs"]

_MEMBERS = {"instances", "inputs", "signature_name"}
_GUARDED_BODY_BYTES = 64 * 1024
_GUARD_SLACK = 64
_JSON = ((b"content-type", b"application/json"),)
_DUMP = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Decoded:
    """A validated request: its tensors, how many rows they hold, and the form to answer in."""

    tensors: Tensors
    rows: int
    form: Form
    timeout_seconds: float | None = None


class V1Codec:
    """Decode and encode `:predict` bodies in row form and in column form."""

    protocol = "v1"

    def decode(self, body: bytes, model: ModelVersion) -> Decoded:
        """Read a `:predict` body against a model's contract.

        Raises:
            JsonInvalid: the body is not one JSON document.
            RequestInvalid: neither or both of `instances` and `inputs`, or an unknown member.
            InputInvalid: the tensors do not have the model's structure.
            ContractViolated: values break the contract.
        """
        contract = model.contract
        _refuse_flood_of_members(body, contract)
        document = parse_fast(body)
        if document is None or not _has_no_repeated_member(document, body, contract):
            document = parse_strict(body)
        form, content = _content_of(document)
        if form == "instances":
            tensors = contract.rows_to_tensors(content)
        else:
            tensors = contract.columns_to_tensors(content)
        rows = contract.row_count(tensors)
        if rows == 0:
            raise RequestInvalid("there is no row to predict")
        return Decoded(tensors, rows, form)

    def encode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        decoded: Decoded,
        model: ModelVersion,  # noqa: ARG002 - the answer's body does not name it
    ) -> Encoded:
        """Write the answer in the form of the request.

        Raises:
            OutputNotFinite: an output holds NaN or infinity; orjson would write null in silence.
            RequestInvalid: rows were sent, and the model has not one answer for each of them.
        """
        if decoded.form == "instances":
            _check_rows(outputs, decoded.rows)
        values = {name: _jsonable(array) for name, array in outputs.items()}
        if len(values) == 1:
            content = next(iter(values.values()))
        elif decoded.form == "inputs":
            content = values
        else:
            content = [dict(zip(values, row, strict=True)) for row in _rows(outputs)]
        member = "outputs" if decoded.form == "inputs" else "predictions"
        payload = orjson.dumps({member: content}, option=_DUMP)
        if b"null" in payload:
            _refuse_non_finite(outputs)
        return Encoded(payload, len(payload), _JSON)


def _content_of(document: object) -> tuple[Form, object]:
    if not isinstance(document, dict):
        raise RequestInvalid("the body must be a JSON object")
    if not document.keys() <= _MEMBERS:
        raise RequestInvalid("the body may hold instances or inputs, and signature_name")
    if ("instances" in document) == ("inputs" in document):
        raise RequestInvalid("the body must hold exactly one of instances and inputs")
    if document.get("signature_name", "serving_default") != "serving_default":
        raise RequestInvalid("the only signature is serving_default")
    if "instances" in document:
        return "instances", document["instances"]
    return "inputs", document["inputs"]


def _has_no_repeated_member(document: object, body: bytes, contract: Contract) -> bool:
    """Prove from the number of quotes that no member stood twice in a plain body of rows.

    A body without backslashes has two quotes for each member and each string. Where every row has
    all members of the contract, and the contract says which are strings, the number is known; a
    repeated member would add at least two. Anything else is left to the strict parser.
    """
    quotes_per_row = contract.quotes_per_row
    if quotes_per_row is None or type(document) is not dict or len(document) != 1:
        return False
    rows = document.get("instances")
    if type(rows) is not list:
        return False
    if contract.is_named and not _are_whole(rows, len(contract.feature_names)):
        return False
    return body.count(b'"') == 2 + quotes_per_row * len(rows)


def _are_whole(rows: list[Any], width: int) -> bool:
    """Say whether every row is an object with as many members as the contract has features."""
    return set(map(type, rows)) == {dict} and set(map(len, rows)) == {width}


def _refuse_flood_of_members(body: bytes, contract: Contract) -> None:
    """Refuse a large body with far more members than its objects may hold, before it is parsed.

    The quotes are counted first, which is quick; only a body with more of them than rows need is
    looked at for members, and only until there are too many. Texts in columns have quotes and are
    no members.
    """
    if len(body) < _GUARDED_BODY_BYTES or contract.quotes_per_object is None:
        return
    objects = body.count(b"{")
    if body.count(b'"') <= contract.quotes_per_object * objects + _GUARD_SLACK:
        return
    allowed = len(contract.feature_names) * objects + _GUARD_SLACK
    if has_more_members(body, allowed):
        raise RequestInvalid("an object has more members than the model has features")


def _rows(outputs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[object, ...]]:
    """Walk several outputs row by row, as JSON values."""
    columns = [_texts(_plain(array).tolist()) for array in outputs.values()]
    return zip(*columns, strict=True)


def _check_rows(outputs: Mapping[str, NDArray[Any]], rows: int) -> None:
    """Refuse row form where an output is no list of rows: predictions could not be told apart."""
    for array in outputs.values():
        if not array.ndim or len(array) != rows:
            raise RequestInvalid("the model has no answer for each row: send inputs, not instances")


def _jsonable(array: NDArray[Any]) -> object:
    plain = _plain(array)
    if plain.dtype.kind == "O" or not plain.ndim:
        return _texts(plain.tolist())
    return plain if plain.flags.c_contiguous else np.ascontiguousarray(plain)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Widen BF16, which JSON's writer does not know."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _texts(value: object) -> object:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _refuse_non_finite(outputs: Mapping[str, NDArray[Any]]) -> None:
    for name, array in outputs.items():
        if array.dtype.kind in "fV" and not np.isfinite(array).all():
            raise OutputNotFinite(name)
