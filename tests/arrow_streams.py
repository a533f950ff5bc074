"""Write Arrow streams as clients do, and as nobody should."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def stream_of(*batches: Mapping[str, Any], compression: str | None = None) -> bytes:
    """Write batches of equal columns as one stream."""
    written = pa.BufferOutputStream()
    made = [pa.record_batch(dict(batch)) for batch in batches]
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(written, made[0].schema, options=options) as stream:
        for batch in made:
            stream.write_batch(batch)
    return bytes(written.getvalue())


def one_text_many_times(text: bytes, rows: int) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Let every row of a view point to the same text."""
    view = np.zeros((rows, 4), np.int32)
    view[:, 0] = len(text)
    view[:, 1] = int.from_bytes(text[:4], "little")
    buffers = [None, pa.py_buffer(view.tobytes()), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string_view(), rows, buffers)


def read_stream(content: bytes) -> dict[str, list[Any]]:
    """Read a stream as its receiver does."""
    columns: dict[str, list[Any]] = pa.ipc.open_stream(content).read_all().to_pydict()
    return columns


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a column of each member."""
    return {name: pa.array([row[name] for row in rows]) for name in rows[0]}
