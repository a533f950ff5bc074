"""Read and write tables as streams of Arrow record batches; needs the extra `arrow`.

Source: Arrow columnar format, "IPC Streaming Format".
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import types

from gateway.dataplane.arrow_messages import check_messages
from gateway.dataplane.arrow_sizes import MAX_SHARED_BYTES, check_sizes, check_texts
from gateway.errors import RequestInvalid
from inference.errors import InputInvalid
from inference.table import Cells, Table

_LARGEST_WHOLE: Final = 2.0**64
_UNREADABLE: Final = (
    pa.ArrowException,
    OSError,
    OverflowError,
    UnicodeDecodeError,
    struct.error,
    InvalidOperation,
    KeyError,
)
_CELLS: Final[Sequence[Callable[[Any], bool]]] = (
    types.is_boolean,
    types.is_integer,
    types.is_floating,
    types.is_decimal,
    types.is_null,
    types.is_string,
    types.is_large_string,
    types.is_binary,
    types.is_large_binary,
    types.is_string_view,
)


def read_arrow(body: bytes, table: Table, max_rows: int) -> Cells:
    """Read all record batches of a stream as one table; nulls are cells without a value.

    Raises:
        EncodingUnsupported: a buffer is compressed.
        RequestInvalid: not a stream, or not a sound one.
        InputInvalid: the columns are not the model's, or of a type that is no cell; or no row.
        TooManyRows: more than `max_rows`.
    """
    try:
        check_messages(body, max_rows=max_rows)
        reader = pa.ipc.open_stream(pa.py_buffer(body))
        _check_columns(reader.schema, table)
        batches = _sound(list(reader), max_bytes=len(body) + MAX_SHARED_BYTES)
        if not any(batch.num_rows for batch in batches):
            raise InputInvalid("there is no row to predict")
        cells = {name: _cells(name, batches) for name in reader.schema.names}
    except _UNREADABLE:
        raise RequestInvalid("the body is not a sound stream of Arrow record batches") from None
    check_texts(cells, max_bytes=len(body) + MAX_SHARED_BYTES)
    return cells


def write_arrow(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Write columns as one record batch; rows of more than one value are lists of fixed size."""
    batch = pa.record_batch([_array(values) for values in columns.values()], names=list(columns))
    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(written.getvalue())


def _check_columns(schema: Any, table: Table) -> None:  # noqa: ANN401 - pyarrow has no types
    if not schema.names:
        raise InputInvalid("the table has no column")
    if not set(schema.names) <= {column.name for column in table.columns}:
        raise InputInvalid("the table has a column that the model does not take")
    if len(set(schema.names)) < len(schema.names):
        raise InputInvalid("the table has a column twice")
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not any(is_kind(kind) for is_kind in _CELLS):
            raise InputInvalid(f"column {field.name} has a type that is no cell of a table")


def _sound(batches: list[Any], *, max_bytes: int) -> list[Any]:
    """Pass batches in which every offset and index points into its buffers.

    Threat: one that points elsewhere would be followed; looking at all of them costs what the
    buffers hold, so that is bounded before.
    """
    for batch in batches:
        batch.validate()
    check_sizes(batches, max_bytes=max_bytes)
    for batch in batches:
        batch.validate(full=True)
    return batches


def _cells(name: str, batches: Sequence[Any]) -> list[object]:
    """Collect one column."""
    cells: list[object] = []
    for batch in batches:
        array = batch.column(name)
        if types.is_dictionary(array.type):
            values = _values(array.dictionary)
            indices = array.indices.to_pylist()
            cells += [None if index is None else values[index] for index in indices]
        else:
            cells += _values(array)
    return cells


def _values(array: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    values: list[Any] = array.to_pylist()
    if types.is_decimal(array.type):
        return [None if value is None else _number(value) for value in values]
    if types.is_binary(array.type) or types.is_large_binary(array.type):
        return [None if value is None else value.decode() for value in values]
    return values


def _number(value: Decimal) -> object:
    """Make a whole number of a decimal that is one; one beyond doubles stays what no field takes.

    Threat: a decimal may have an exponent of a billion, and `int` would write it out.
    """
    number = float(value)
    if isinf(number):
        return value
    is_whole = abs(number) < _LARGEST_WHOLE and value == value.to_integral_value()
    return int(value) if is_whole else number


def _array(values: NDArray[Any]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Nest the values of one column, of shape [rows, ...]."""
    if 0 in values.shape[1:]:
        raise RequestInvalid("an output has no value in a row: ask for JSON")
    array = _flat_array(np.ascontiguousarray(values).reshape(-1))
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _flat_array(values: NDArray[Any]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Give the values' memory to Arrow; `pyarrow.array` would import pandas, where that is."""
    count = len(values)
    if values.dtype.kind == "O":
        texts = [_encoded(value) for value in values.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.large_string(), count, buffers)
    kind = pa.from_numpy_dtype(values.dtype)
    is_packed = values.dtype.kind == "b"
    content = np.packbits(values, bitorder="little") if is_packed else values
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(content)])


def _encoded(value: object) -> bytes:
    """Write text in UTF-8; bytes must be that already."""
    text = value if isinstance(value, bytes) else str(value).encode()
    try:
        text.decode()
    except UnicodeDecodeError:
        raise RequestInvalid("an output is not text, which a table cannot carry") from None
    return text
