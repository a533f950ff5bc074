"""CSV: what is read as a number, where the header stands, and what hostile text costs."""

import contextlib
import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.csv_table import MAX_LINE_CHARACTERS, read_csv, write_csv
from gateway.errors import RequestError, RequestInvalid
from inference.errors import ContractViolated, InferenceError, InputInvalid, TooManyRows
from inference.signature import TensorSpec
from inference.table import Cells, Table
from tests.unit.inference.contracts import feature_contract, graph_contract, house_contract

MOST = 8


def table_of(datatype: str = "FP32") -> Table:
    """Lay out a graph with one column x."""
    table = graph_contract(TensorSpec("x", datatype, (-1,))).table
    assert table is not None
    return table


def house() -> Table:
    """Lay out three features: number, integer, category."""
    table = house_contract().table
    assert table is not None
    return table


def read(text: str | bytes, table: Table | None = None) -> Cells:
    """Read a body with a header."""
    body = text.encode() if isinstance(text, str) else text
    return read_csv(body, house() if table is None else table, MOST)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n\r\n"])
def test_header_names_the_columns_in_any_order(end: str) -> None:
    """Lines end as they like, and empty ones at the end are none."""
    cells = read(f"garden,area,rooms\nyes,80.5,3{end}")
    assert cells == {"garden": ["yes"], "area": [80.5], "rooms": [3]}


def test_without_a_header_columns_come_in_the_order_of_the_contract() -> None:
    """`header=absent` in the media type."""
    cells = read_csv(b"80.5,3,yes\n90,4,no\n", house(), MOST, has_header=False)
    assert cells == {"area": [80.5, 90.0], "rooms": [3, 4], "garden": ["yes", "no"]}


def test_byte_order_mark_is_passed_over() -> None:
    """Spreadsheets write one."""
    assert read(b"\xef\xbb\xbfarea\n80.5\n") == {"area": [80.5]}


def test_quoted_cell_may_hold_commas_quotes_and_line_feeds() -> None:
    """RFC 4180 section 2."""
    assert read('x\n"a,""b""\nc"\n', table_of("BYTES")) == {"x": ['a,"b"\nc']}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e-05", 1e-05),
        (" 2 ", 2.0),
        ("007", 7.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("", None),
    ],
)
def test_number_is_read_as_programs_write_it(text: str, value: float | None) -> None:
    """Beside another cell that is no plain number, so that each is read by itself."""
    assert read(f'x\n"{text}"\ninf\n', table_of()) == {"x": [value, math.inf]}


@pytest.mark.parametrize(
    "text",
    ["1_000", "1e999", "0x10", "\u0661", "1,5", "1;5", "true", "--1", "1e5e5", "1 2", "nan1", "."],
)
def test_other_text_stays_text_for_the_contract_to_refuse(text: str) -> None:
    """Python reads more as a number than a file of numbers should hold."""
    contract = graph_contract(TensorSpec("x", "FP32", (-1,)))
    assert contract.table is not None
    cells = read_csv(f'x\n1\n"{text}"\n'.encode(), contract.table, MOST)
    assert cells["x"][1] == text
    with pytest.raises(ContractViolated) as refused:
        contract.table_to_tensors(cells)
    assert [(found.row, found.feature) for found in refused.value.violations] == [(1, "x")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("9007199254740993", 9007199254740993), ("3.0", 3.0), ("9" * 50, float("9" * 50))],
)
def test_whole_numbers_are_exact(text: str, value: float) -> None:
    """64 bits are more than a double holds; far more digits are not written out."""
    assert read(f"x\n{text}\n", table_of("INT64")) == {"x": [value]}


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("False", False), ("TRUE", True), ("1", "1"), ('""', None)]
)
def test_booleans_are_words(text: str, value: object) -> None:
    """In any case, as several programs write them; 1 is a number."""
    assert read(f"x\n{text}\n", table_of("BOOL")) == {"x": [value]}


def test_empty_text_is_text_unless_there_is_a_default() -> None:
    """CSV cannot tell an empty text from none."""
    given_default = feature_contract('type = "string"\ndefault = "d"', "BYTES").table
    assert given_default is not None
    assert read('x\n""\n', table_of("BYTES")) == {"x": [""]}
    assert read('x\n""\n', given_default) == {"x": [None]}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InputInvalid),
        (b"area\n", InputInvalid),
        (b"area,colour\n1,2\n", InputInvalid),
        (b"area,area\n1,2\n", InputInvalid),
        (b"area,rooms\n1\n", InputInvalid),
        (b"area\n1,2\n", InputInvalid),
        (b"area\n1\n\n2\n", InputInvalid),
        (b"area\n\xff\n", RequestInvalid),
        ("area\n1\n".encode("utf-16"), RequestInvalid),
        (b'area\n"1\n', RequestInvalid),
        (b'area\n"1"2\n', RequestInvalid),
        (b"area\n" + b"1\n" * (MOST + 1), TooManyRows),
        (b"area\n" + b"1" * MAX_LINE_CHARACTERS, RequestInvalid),
        (b'area\n"' + b"1" * 200_000 + b'"', RequestInvalid),
        (b"\n" * 1_000_000, InputInvalid),
    ],
)
def test_what_is_no_table_of_the_model_is_refused(body: bytes, error: type[Exception]) -> None:
    """Each with a reason that quotes nothing."""
    with pytest.raises(error):
        read(body)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing but the errors of the table escapes."""
    for has_header in (True, False):
        with contextlib.suppress(RequestError, InferenceError):
            cells = read_csv(body, house(), MOST, has_header=has_header)
            house_contract().table_to_tensors(cells)


@given(st.lists(st.floats(width=32), min_size=1, max_size=MOST))
def test_written_numbers_read_back_the_same(values: list[float]) -> None:
    """FP32 as short as is exact, infinities and NaN included."""
    column = np.array(values, np.float32)
    cells = read_csv(write_csv({"x": column}), table_of(), MOST)
    again = np.array([np.nan if cell is None else cell for cell in cells["x"]], np.float32)
    np.testing.assert_array_equal(again, column)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=MOST))
def test_written_texts_read_back_the_same(values: list[str]) -> None:
    """Whatever they hold."""
    written = write_csv({"x": np.array(values, object)})
    rows = list(csv.reader(io.StringIO(written.decode(), newline="")))
    assert rows == [["x"], *([value] for value in values)]


def test_columns_stand_beside_each_other() -> None:
    """One line for each row, under the names of the columns."""
    columns: dict[str, np.ndarray[Any, Any]] = {
        "price": np.array([0.1, 2.0], np.float32),
        "label": np.array([7, -1], np.int64),
        "sure": np.array([True, False]),
        "name": np.array(["a,b", b"c"], object),
    }
    expected = b'price,label,sure,name\r\n0.1,7,true,"a,b"\r\n2.0,-1,false,c\r\n'
    assert write_csv(columns) == expected


def test_bytes_that_are_no_text_are_refused() -> None:
    """CSV has no way to write them."""
    with pytest.raises(RequestInvalid):
        write_csv({"x": np.array([b"\xff"], object)})
