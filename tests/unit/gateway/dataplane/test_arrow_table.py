"""Arrow streams: the types that cells may have, and what a hostile stream costs."""

import random
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gateway.dataplane.arrow_messages import MAX_MESSAGES
from gateway.dataplane.arrow_sizes import MAX_SHARED_BYTES
from gateway.dataplane.arrow_table import read_arrow, write_arrow
from gateway.errors import EncodingUnsupported, RequestError, RequestInvalid
from inference.errors import InferenceError, InputInvalid, TooManyRows
from inference.signature import TensorSpec
from inference.table import Cells, Table
from tests.arrow_streams import one_text_many_times, read_stream, stream_of
from tests.unit.inference.contracts import graph_contract, house_contract

MOST = 4096
AREAS = pa.array([80.5, 90.0])
HOSTILE_EXAMPLES = 1500
SOAK_EXAMPLES = 300_000


def house() -> Table:
    """Lay out three features: number, integer, category."""
    table = house_contract().table
    assert table is not None
    return table


def read(*batches: dict[str, Any]) -> Cells:
    """Read batches of the house."""
    return read_arrow(stream_of(*batches), house(), MOST)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (pa.array([1.5, None]), [1.5, None]),
        (pa.array([1.5, None], pa.float16()), [1.5, None]),
        (pa.array([1.5, 2], pa.float32()), [1.5, 2.0]),
        (pa.array([7, None], pa.uint64()), [7, None]),
        (pa.array([2**63 - 1], pa.int64()), [2**63 - 1]),
        (pa.array([True, None]), [True, None]),
        (pa.nulls(2), [None, None]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)), [1.5, None]),
        (pa.array([Decimal(2**60)], pa.decimal256(40, 0)), [2**60]),
        (pa.array(["a", None], pa.string()), ["a", None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", "b" * 40, None], pa.string_view()), ["a", "b" * 40, None]),
        (pa.array([b"a", None], pa.binary()), ["a", None]),
        (pa.array([b"a", None], pa.large_binary()), ["a", None]),
        (pa.array(["yes", "no", None, "yes"]).dictionary_encode(), ["yes", "no", None, "yes"]),
        (pa.array([7, 8, 7]).dictionary_encode(), [7, 8, 7]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_of_cells(cells: Any, values: list[object]) -> None:  # noqa: ANN401 - pyarrow has no types
    """Every way that programs write numbers, booleans and text."""
    assert read({"area": cells})["area"] == values


def test_batches_follow_each_other() -> None:
    """A stream is one table, and may be cut anywhere."""
    assert read({"area": AREAS}, {"area": AREAS.slice(1)})["area"] == [80.5, 90.0, 90.0]


def test_a_slice_is_read_alone() -> None:
    """What lies around it in the caller's memory is no row."""
    garden = pa.array(["yes", "no", "yes"]).dictionary_encode().slice(1, 1)
    assert read({"garden": garden})["garden"] == ["no"]


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([[1.0]]),
        pa.array([{"a": 1}]),
        pa.array([1], pa.timestamp("s")),
        pa.array([1], pa.date32()),
        pa.array([], pa.float32()),
    ],
    ids=lambda cells: str(cells.type),
)
def test_other_types_are_refused(cells: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    """A list or a moment is no number, boolean or text; no row is none."""
    with pytest.raises(InputInvalid):
        read({"area": cells})


@pytest.mark.parametrize("names", [["area", "area"], ["colour"], []])
def test_columns_must_be_the_models(names: list[str]) -> None:
    """One of another name, one twice, or none at all."""
    batch = pa.record_batch([AREAS] * len(names), names=names)
    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, batch.schema) as stream:
        stream.write_batch(batch)
    with pytest.raises(InputInvalid):
        read_arrow(bytes(written.getvalue()), house(), MOST)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_unread(compression: str) -> None:
    """They could become thousands of times their size."""
    body = stream_of({"area": pa.array([0.0] * 100)}, compression=compression)
    with pytest.raises(EncodingUnsupported):
        read_arrow(body, house(), MOST)


def test_compressed_dictionary_is_refused_unread() -> None:
    """Its batch lies one table deeper."""
    garden = pa.array(["yes" * 100, "no" * 100]).dictionary_encode()
    with pytest.raises(EncodingUnsupported):
        read_arrow(stream_of({"garden": garden}, compression="lz4"), house(), MOST)


def test_rows_without_bytes_are_counted() -> None:
    """A column of nulls says that it has a million rows, and sends nothing."""
    with pytest.raises(TooManyRows):
        read({"area": pa.nulls(2**20)})


def test_many_messages_are_refused() -> None:
    """Empty batches cost their reader more than their sender."""
    with pytest.raises(RequestInvalid):
        read(*[{"area": AREAS.slice(2)}] * (MAX_MESSAGES + 1))


@pytest.mark.parametrize("kind", ["view", "dictionary"])
def test_one_long_text_in_many_rows_is_refused(kind: str) -> None:
    """64 MiB of body could stand for 256 GiB of text."""
    text = b"x" * (MAX_SHARED_BYTES // 64)
    garden = one_text_many_times(text, 100)
    if kind == "dictionary":
        indices = pa.array([0] * 100, pa.int8())
        garden = pa.DictionaryArray.from_arrays(indices, pa.array([text.decode()]))
    with pytest.raises(InputInvalid, match="hold more than"):
        read({"garden": garden})


def test_dictionary_is_counted_with_every_batch() -> None:
    """It would be looked at as often as there are batches."""
    values = pa.array(["x" * (MAX_SHARED_BYTES // 64), "no"])
    garden = pa.DictionaryArray.from_arrays(pa.array([1], pa.int8()), values)
    with pytest.raises(InputInvalid, match="hold more than"):
        read(*[{"garden": garden}] * 100)


def test_dictionary_that_is_added_to_is_refused() -> None:
    """Each addition copies all of it."""
    kind, indices = pa.dictionary(pa.int8(), pa.string()), pa.array([0], pa.int8())
    gardens = [
        pa.DictionaryArray.from_arrays(indices, values)
        for values in (pa.array(["yes"]), pa.array(["yes", "no"]))
    ]
    written = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    schema = pa.schema([("garden", kind)])
    with pa.ipc.new_stream(written, schema, options=options) as stream:
        for garden in gardens:
            stream.write_batch(pa.record_batch([garden], ["garden"]))
    with pytest.raises(RequestInvalid, match="adds to a dictionary"):
        read_arrow(bytes(written.getvalue()), house(), MOST)


def test_index_beyond_the_dictionary_is_refused() -> None:
    """It would be read from elsewhere."""
    indices = pa.array([9], pa.int8())
    garden = pa.DictionaryArray.from_arrays(indices, pa.array(["yes"]), safe=False)
    with pytest.raises(RequestInvalid):
        read({"garden": garden})


def test_text_that_is_no_unicode_is_refused() -> None:
    """In binary columns, and in text columns that lie."""
    lying = pa.array([b"\xff"]).view(pa.string())
    for cells in (pa.array([b"\xff"]), lying):
        with pytest.raises(RequestInvalid):
            read({"garden": cells})


@pytest.mark.parametrize("scale", [-(2**31), 2**31 - 1, -100, 100])
def test_decimal_of_any_scale_is_read_or_refused(scale: int) -> None:
    """An exponent of a billion is never written out."""
    kind = pa.decimal256(76, scale)
    area = pa.Array.from_buffers(kind, 1, [None, pa.py_buffer((7).to_bytes(32, "little"))])
    contract = house_contract()
    with pytest.raises((RequestInvalid, InferenceError)):
        contract.table_to_tensors(read({"area": area}))


@pytest.mark.parametrize("body", [b"", b"ARROW1\0\0", b"area\n80\n", b"\xff\xff\xff\xff\0\0\0\0"])
def test_what_is_no_stream_is_refused(body: bytes) -> None:
    """A file, CSV, nothing, and an end without a beginning."""
    with pytest.raises((RequestInvalid, InputInvalid)):
        read_arrow(body, house(), MOST)


def spoil(body: bytes, chance: random.Random) -> bytes:
    """Change, take out or put in a few bytes."""
    spoilt = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(spoilt))
        match chance.choice("bbbwwxi"):
            case "b":
                spoilt[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
            case "w":
                word = chance.choice(
                    (0, 1, 2**31 - 1, 2**31, 2**32 - 1, chance.randrange(len(body)))
                )
                spoilt[place & ~3 : (place & ~3) + 4] = word.to_bytes(4, "little")
            case "x":
                del spoilt[place : place + chance.randrange(1, 64)]
            case _:
                spoilt[place:place] = bytes(chance.randrange(1, 16))
        spoilt = spoilt or bytearray(1)
    return bytes(spoilt)


def read_spoilt_streams(seed: int, examples: int) -> int:
    """Read streams with a few wrong bytes; return how many were sound all the same."""
    chance, contract, sound = random.Random(seed), house_contract(), 0  # noqa: S311 - no secret
    gardens = [pa.array(["yes", "no", None]).dictionary_encode()]
    gardens += [pa.array(["yes", "no", "n" * 30], kind) for kind in (pa.string_view(), pa.utf8())]
    areas = [pa.array([80, None, 3.5], pa.float16()), pa.array([1, 2, None], pa.decimal128(9, 2))]
    bodies = [
        stream_of(*[{"area": area, "rooms": pa.array([3, 4, None]), "garden": garden}] * 2)
        for area in areas
        for garden in gardens
    ]
    for _ in range(examples):
        try:
            contract.table_to_tensors(
                read_arrow(spoil(chance.choice(bodies), chance), house(), MOST)
            )
            sound += 1
        except (RequestError, InferenceError):
            continue
    return sound


def read_in_a_child(seed: int, examples: int) -> None:
    """Read spoilt streams where a crash is seen and ends nothing else."""
    script = f"from {__name__} import *; read_spoilt_streams({seed}, {examples})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())


def test_spoilt_streams_are_refused_or_read() -> None:
    """No wrong byte crashes the process or escapes as another error."""
    read_in_a_child(1, HOSTILE_EXAMPLES)


@pytest.mark.soak
def test_many_spoilt_streams_are_refused_or_read() -> None:
    """The same for long."""
    read_in_a_child(2, SOAK_EXAMPLES)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u8", "?"])
def test_written_columns_read_back_the_same(dtype: str) -> None:
    """Datatype and values."""
    column = np.array([0, 1, 1] * 5, dtype)
    assert read_stream(write_arrow({"y": column})) == {"y": column.tolist()}


def test_rows_of_several_values_are_lists() -> None:
    """An embedding is one column."""
    column = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    assert read_stream(write_arrow({"y": column})) == {"y": column.tolist()}


def test_texts_are_written_as_text() -> None:
    """As they are read, empty ones too."""
    column = np.array(["a", "", b"\xc3\xbc"], object)
    assert read_stream(write_arrow({"y": column})) == {"y": ["a", "", "ü"]}


def test_bytes_that_are_no_text_are_not_written() -> None:
    """Whoever reads them would fail."""
    with pytest.raises(RequestInvalid):
        write_arrow({"y": np.array([b"\xff"], object)})


def test_rows_of_no_value_are_not_written() -> None:
    """Arrow has no lists of size 0."""
    with pytest.raises(RequestInvalid):
        write_arrow({"y": np.zeros((2, 0), np.float32)})


def test_written_stream_is_a_table_again() -> None:
    """One model's answer may be another's request."""
    table = graph_contract(TensorSpec("y", "FP32", (-1,))).table
    assert table is not None
    body = write_arrow({"y": np.array([1.5], np.float32)})
    assert read_arrow(body, table, MOST) == {"y": [1.5]}
