"""Lay the rows of a contract out as a flat table, as CSV and Arrow have them.

A column is a named feature, or an element of a graph input: an input of shape [rows] or [rows, 1]
is the column of its name, one of shape [rows, n] is the columns ``name[0]`` to ``name[n-1]``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inference.errors import ContractViolated, InputInvalid, Violation
from inference.fields import REQUIRED, Field, Takes
from inference.rows import MAX_VIOLATIONS
from inference.signature import VARIABLE, TensorSpec

MAX_COLUMNS: Final = 4096
"""Wider inputs are tensors, not tables."""

_TABLE_RANK = 2

Cells = Mapping[str, list[object]]
"""A list for each column, one value for each row; None is a cell without a value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    takes: Takes
    missing: object
    """What stands for a cell without a value; `REQUIRED` where nothing may."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One field of the contract and the columns that it is made of."""

    field: Field
    columns: tuple[Column, ...]
    is_flat: bool
    """A value of the field is the cell itself, not a list of cells."""


class Table:
    """The columns of a contract, laid out once; holds no state between calls."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = tuple(parts)
        self.columns = tuple(column for part in parts for column in part.columns)
        self._names = {column.name for column in self.columns}

    def to_fields(self, cells: Cells) -> dict[object, object]:
        """Give the values of each field, with what stands for missing cells filled in.

        A field all of whose columns are left out is left out, for the contract to judge.

        Raises:
            ContractViolated: some columns of an input are there and others are not.
            InputInvalid: a column is none of the model's.
        """
        if not cells.keys() <= self._names:
            raise InputInvalid("the table has a column that the model does not take")
        values: dict[object, object] = {}
        for part in self._parts:
            given = [column for column in part.columns if column.name in cells]
            if given:
                values[part.field.name] = _values(part, given, cells)
        return values


def lay_out(fields: Sequence[Field], specs: Mapping[str, TensorSpec]) -> Table | None:
    """Lay out the fields of a contract; None where a row of it is no row of a table.

    Args:
        fields: of the contract.
        specs: the graph inputs that are fields themselves, by name; the other fields are features.
    """
    parts = [_part(field, specs.get(field.name)) for field in fields]
    flat = [part for part in parts if part is not None]
    names = Counter(column.name for part in flat for column in part.columns)
    is_table = len(flat) == len(parts) and len(names) == names.total() <= MAX_COLUMNS
    return Table(flat) if is_table else None


def column_names(name: str, width: int) -> list[str]:
    """Name the columns of a tensor of shape [rows, width]."""
    return [name] if width == 1 else [f"{name}[{index}]" for index in range(width)]


def _part(field: Field, spec: TensorSpec | None) -> _Part | None:
    if spec is None or len(spec.shape) == 1:
        return _Part(field, (_column(field, field.name),), is_flat=True)
    if len(spec.shape) != _TABLE_RANK or spec.shape[1] in (VARIABLE, 0):
        return None
    if spec.shape[1] > MAX_COLUMNS:
        return None
    names = column_names(field.name, spec.shape[1])
    return _Part(field, tuple(_column(field, name) for name in names), is_flat=False)


def _column(field: Field, name: str) -> Column:
    return Column(name, field.takes, field.missing)


def _values(part: _Part, given: Sequence[Column], cells: Cells) -> list[object]:
    if len(given) < len(part.columns):
        absent = [column.name for column in part.columns if column not in given]
        raise ContractViolated(
            tuple(Violation(None, name, "is missing") for name in absent[:MAX_VIOLATIONS])
        )
    filled = [_fill(cells[column.name], column.missing) for column in given]
    return filled[0] if part.is_flat else list(map(list, zip(*filled, strict=True)))


def _fill(values: list[object], missing: object) -> list[object]:
    """Fill in; a cell that must have a value stays None, which no field takes."""
    if missing is REQUIRED or None not in values:
        return values
    return [missing if value is None else value for value in values]
