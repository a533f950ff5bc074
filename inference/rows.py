"""Check rows or columns of JSON values against fields, and say briefly where they are wrong.

A good request costs one call into pydantic-core. A bad one is looked at again row by row, only
until ten violations are found, so that a body with 100,000 bad rows costs little more than ten.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from inference.errors import ContractViolated, InputInvalid, Violation
from inference.fields import REQUIRED, Field

MAX_VIOLATIONS = 10

Rows = list[dict[str, Any]]
Columns = dict[str, Any]


class FieldRows:
    """Check rows that are objects with one member for each field, compiled once."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = {field.name: field for field in fields}
        row_schema = core_schema.typed_dict_schema(
            {field.name: _member(field) for field in fields}, extra_behavior="forbid", strict=True
        )
        self._row = SchemaValidator(row_schema)
        self._rows = SchemaValidator(core_schema.list_schema(row_schema, fail_fast=True))
        self._values = {field.name: SchemaValidator(field.schema) for field in fields}
        self._columns = {field.name: SchemaValidator(_column_schema(field)) for field in fields}
        self._members = _members_of([field.name for field in fields])

    def transpose(self, instances: list[Any]) -> Columns | None:
        """Give the columns of many good rows at half the cost of checking them as rows.

        None where a row lacks a member or has a wrong one: `check_rows` fills in or explains.
        """
        try:
            if set(map(len, instances)) != {len(self._fields)}:
                return None
            columns = zip(*map(self._members, instances), strict=True)
            return {
                name: column.validate_python(list(values))
                for (name, column), values in zip(self._columns.items(), columns, strict=True)
            }
        except (KeyError, TypeError, ValidationError):
            return None

    def check_rows(self, instances: list[object]) -> Rows:
        """Give the rows with defaults filled in.

        Raises:
            ContractViolated: a row breaks a field, lacks one or has a member that is none.
        """
        if self._is_crowded(instances):
            raise ContractViolated(self._row_violations(instances))
        try:
            rows: Rows = self._rows.validate_python(instances)
        except ValidationError:
            raise ContractViolated(self._row_violations(instances)) from None
        return rows

    def check_columns(self, columns: dict[object, object], row_count: int) -> Columns:
        """Give a list for each field, `row_count` long, with defaults filled in.

        Raises:
            ContractViolated: a value breaks its field, or a field is missing.
            InputInvalid: a member is not a field.
        """
        if len(columns) > len(self._fields) or not self._fields.keys() >= columns.keys():
            raise InputInvalid("inputs has a member that the model does not take")
        missing = [
            Violation(None, name, "is missing")
            for name, field in self._fields.items()
            if name not in columns and field.default is REQUIRED
        ]
        if missing:
            raise ContractViolated(tuple(missing[:MAX_VIOLATIONS]))
        return self._check_each_column(columns, row_count)

    def _check_each_column(self, columns: dict[object, object], row_count: int) -> Columns:
        checked: Columns = {}
        violations: list[Violation] = []
        for name, field in self._fields.items():
            if name not in columns:
                checked[name] = [field.default] * row_count
                continue
            try:
                checked[name] = self._columns[name].validate_python(columns[name])
            except ValidationError:
                violations += _explain(self._values[name], field, columns[name])
        if violations:
            raise ContractViolated(tuple(violations[:MAX_VIOLATIONS]))
        return checked

    def _is_crowded(self, instances: list[Any]) -> bool:
        """Look for a row with more members than fields, or one that has no length.

        Threat: pydantic-core makes one error of each unknown member, so 300,000 of them in one
        row would take seconds and megabytes.
        """
        try:
            return max(map(len, instances)) > len(self._fields)
        except TypeError:
            return True

    def _row_violations(self, instances: list[object]) -> tuple[Violation, ...]:
        return _first(
            violation
            for row, instance in enumerate(instances)
            for violation in self._violations_of(row, instance)
        )

    def _violations_of(self, row: int, instance: object) -> Iterable[Violation]:
        if not isinstance(instance, dict):
            return [Violation(row, None, "must be an object with a member for each feature")]
        if len(instance) > len(self._fields):
            return [Violation(row, None, "has more members than the model has features")]
        try:
            self._row.validate_python(instance)
        except ValidationError as error:
            return dict.fromkeys(self._violation(row, detail) for detail in _details(error))
        return []

    def _violation(self, row: int, detail: dict[str, Any]) -> Violation:
        """Say it in our words. A name that is no text at all has no place in `loc`."""
        field = self._fields.get(detail["loc"][0]) if detail["loc"] else None
        if field is None:
            return Violation(row, None, "has a member that is not a feature of the model")
        is_missing = detail["type"] == "missing"
        return Violation(row, field.name, "is missing" if is_missing else field.expectation)


class BareRows:
    """Check rows that are the values of one field themselves."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._value = SchemaValidator(field.schema)
        self._values = SchemaValidator(core_schema.list_schema(field.schema, fail_fast=True))

    def check_rows(self, instances: list[object]) -> list[Any]:
        """Give the values.

        Raises:
            ContractViolated: a value breaks the field.
        """
        try:
            values: list[Any] = self._values.validate_python(instances)
        except ValidationError:
            raise ContractViolated(_explain(self._value, self._field, instances)) from None
        return values


def _member(field: Field) -> core_schema.TypedDictField:
    if field.default is REQUIRED:
        return core_schema.typed_dict_field(field.schema, required=True)
    return core_schema.typed_dict_field(
        core_schema.with_default_schema(field.schema, default=field.default), required=False
    )


def _members_of(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Take the named members out of a row, always as a tuple: `itemgetter` bares a lone one."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: (row[names[0]],)


def _column_schema(field: Field) -> core_schema.CoreSchema:
    if field.is_scalar:
        return field.schema
    return core_schema.list_schema(field.schema, strict=True, fail_fast=True)


def _explain(validator: SchemaValidator, field: Field, values: object) -> tuple[Violation, ...]:
    if field.is_scalar:
        return (Violation(None, field.name, field.expectation),)
    if not isinstance(values, list):
        return (Violation(None, field.name, "must be a list with one element for each row"),)
    return _first(
        Violation(row, field.name, field.expectation)
        for row, value in enumerate(values)
        if not validator.isinstance_python(value)
    )


def _details(error: ValidationError) -> list[dict[str, Any]]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))  # type: ignore[arg-type]


def _first(violations: Iterable[Violation]) -> tuple[Violation, ...]:
    return tuple(islice(violations, MAX_VIOLATIONS))
