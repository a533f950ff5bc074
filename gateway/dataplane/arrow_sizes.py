"""Bound what the columns of an Arrow table hold by what was sent.

A few bytes can stand for many: columns may share a buffer, every batch has the whole dictionary,
and each row may point to the same long text.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from pyarrow import types

from inference.errors import InputInvalid
from inference.table import Cells

MAX_SHARED_BYTES: Final = 16 * 1024 * 1024
"""How much more the columns may hold than the body has."""

_VIEW_BYTES: Final = 16


def check_sizes(batches: Iterable[Any], *, max_bytes: int) -> None:
    """Pass batches whose columns hold no more than `max_bytes` together, before they are read.

    The batches must have passed `validate()`; what their buffers hold may still be anything.

    Raises:
        InputInvalid: they hold more.
    """
    total = 0
    for array in _arrays(batches):
        total += array.get_total_buffer_size()
        if types.is_string_view(array.type):
            total += _viewed_bytes(array)
        if total > max_bytes:
            raise _too_large(max_bytes)


def check_texts(cells: Cells, *, max_bytes: int) -> None:
    """Pass cells whose texts have no more than `max_bytes` characters together.

    Raises:
        InputInvalid: they have more.
    """
    texts = (cell for column in cells.values() for cell in column if isinstance(cell, str))
    if sum(map(len, texts)) > max_bytes:
        raise _too_large(max_bytes)


def _arrays(batches: Iterable[Any]) -> Iterator[Any]:
    """Walk the columns, and their dictionaries."""
    for batch in batches:
        for array in batch.columns:
            is_dictionary = types.is_dictionary(array.type)
            yield array.indices if is_dictionary else array
            if is_dictionary:
                yield array.dictionary


def _viewed_bytes(array: Any) -> int:  # noqa: ANN401 - pyarrow has no types
    """Add up the lengths, which are the first four of the sixteen bytes of a view."""
    views = array.buffers()[1]
    if views is None:
        return 0
    words = np.frombuffer(views, np.int32, count=views.size // 4)
    lengths = words[array.offset * (_VIEW_BYTES // 4) :: _VIEW_BYTES // 4][: len(array)]
    return int(np.maximum(lengths, 0).sum(dtype=np.int64))


def _too_large(max_bytes: int) -> InputInvalid:
    return InputInvalid(f"the columns hold more than {max_bytes} bytes")
