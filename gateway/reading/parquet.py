"""Write tables as Parquet; needs the extra `arrow`.

Source: Apache Parquet 2.6: text, 64-bit integers, truth values, moments in microseconds UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from gateway.reading.columns import Cells, Column, Kind
from gateway.reading.writers import Write

GROUP_ROWS: Final = 8192
"""Rows in a group of rows, and so as many as are in memory at a time."""

_TYPES: Final = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.MOMENT: pa.timestamp("us", tz="UTC"),
}


class _Sink:
    """What pyarrow takes for a file that is only written to."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._position = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Hand bytes on."""
        content = bytes(data)
        self._write(content)
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        """Say how much was written."""
        return self._position

    def flush(self) -> None:
        """Keep nothing back."""

    def close(self) -> None:
        """Leave the file to its owner."""
        self.closed = True

    def readable(self) -> bool:
        """Say no."""
        return False

    def writable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say no."""
        return False


class ParquetWriter:
    """Write groups of `GROUP_ROWS` rows, however the rows come."""

    def __init__(self, write: Write, columns: Sequence[Column]) -> None:
        self._schema = pa.schema([(column.name, _TYPES[column.kind]) for column in columns])
        self._writer = parquet.ParquetWriter(
            pa.PythonFile(_Sink(write), mode="w"), self._schema, compression="zstd"
        )
        self._waiting: list[Cells] = []

    def add(self, rows: Sequence[Cells]) -> None:
        """Write what makes whole groups, and keep the rest."""
        self._waiting += rows
        while len(self._waiting) >= GROUP_ROWS:
            self._write_group(self._waiting[:GROUP_ROWS])
            del self._waiting[:GROUP_ROWS]

    def end(self, links: Mapping[str, str]) -> None:  # noqa: ARG002 - no place for them
        """Write the last group and the footer."""
        if self._waiting:
            self._write_group(self._waiting)
        self._writer.close()

    def _write_group(self, rows: Sequence[Cells]) -> None:
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(cells, field.type) for cells, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
