"""Turn a caller's JSON values into the tensors of a model, or say exactly what is wrong."""

from collections.abc import Sequence

from inference.errors import ContractViolated, InputInvalid, TooManyRows
from inference.fields import Field
from inference.json_schemas import element_json_schema, prediction_schema, row_schema
from inference.manifest import OutputDoc
from inference.packing import Packing
from inference.rows import BareRows, FieldRows
from inference.signature import VARIABLE, Signature, TensorSpec
from inference.table import Cells, lay_out
from inference.tensor_rules import ColumnRules, check_declaration
from inference.tensors import DATATYPES_BY_DTYPE, Tensors

_BASE64_MEMBER = "b64"
_NAME_QUOTES = 2
_MANY_ROWS = 8


class Contract:
    """A model's typed row: named features, or the inputs of the graph where nothing names them.

    Built once by `contract_compiler`; holds no state between calls.
    """

    def __init__(
        self,
        signature: Signature,
        *,
        fields: Sequence[Field],
        packings: Sequence[Packing],
        rules: Sequence[ColumnRules] = (),
        is_named: bool,
        max_rows: int,
        output_docs: Sequence[OutputDoc] = (),
        example_row: object = None,
    ) -> None:
        self.is_named = is_named
        self.feature_names = tuple(field.name for field in fields)
        self.max_rows = max_rows
        self.example_row = example_row
        self._signature = signature
        self._fields = tuple(fields)
        self._packings = tuple(packings)
        self._rules = tuple(rules)
        self._output_docs = tuple(output_docs)
        self._rows = FieldRows(fields)
        self._bare = None if is_named or len(fields) > 1 else BareRows(fields[0])
        self._has_scalars = any(field.is_scalar for field in fields)
        specs = {} if is_named else {spec.name: spec for spec in signature.inputs}
        self.table = None if self._has_scalars else lay_out(fields, specs)
        """The columns of a row, where it is one of a table."""
        self._has_common_rows = is_named or signature.is_batchable
        self._fixed_rows = [
            (spec.name, spec.shape[0])
            for spec in signature.inputs
            if spec.shape and spec.shape[0] != VARIABLE
        ]
        self.fewest_rows = max((size for _, size in self._fixed_rows), default=1)
        self.quotes_per_object = _quotes_of(fields)
        self.quotes_per_row = self.quotes_per_object if self._bare is None else fields[0].quotes

    def rows_to_tensors(self, instances: object) -> Tensors:
        """Pack the row form: a list of objects, or of bare values where the graph has one input.

        Raises:
            ContractViolated: a value breaks the contract.
            InputInvalid: these are not rows of this model.
            TooManyRows: more rows than the queue can ever hold.
        """
        if not isinstance(instances, list):
            raise InputInvalid("instances must be a list of rows")
        if self._has_scalars:
            raise InputInvalid("the model has an input without rows: send inputs, not instances")
        self._check_row_count(len(instances))
        if self._bare is not None and not self._is_keyed(instances[0]):
            columns = {self.feature_names[0]: self._bare.check_rows(instances)}
            tensors = {packing.name: packing.pack_columns(columns) for packing in self._packings}
        else:
            tensors = self._pack_objects(instances)
        if self._fixed_rows:
            self._check_fixed_rows(tensors)
        return tensors

    def columns_to_tensors(self, columns: object) -> Tensors:
        """Pack the column form: an object of lists, or a bare tensor where the graph has one input.

        Raises:
            ContractViolated: a value breaks the contract.
            InputInvalid: these are not columns of this model, or they differ in length.
            TooManyRows: more rows than the queue can ever hold.
        """
        if self._bare is not None and not isinstance(columns, dict):
            columns = {self.feature_names[0]: columns}
        if not isinstance(columns, dict):
            raise InputInvalid("inputs must be an object with a list for each input")
        checked = self._rows.check_columns(columns, self._length_of(columns))
        tensors = {packing.name: packing.pack_columns(checked) for packing in self._packings}
        self._check_fixed_rows(tensors)
        return tensors

    def check_tensors(self, tensors: Tensors) -> int:
        """Pass if ready-made tensors are what rows could have become; returns the billed rows.

        Raises:
            ContractViolated: a value breaks the rule of a named feature.
            InputInvalid: an input is missing, unknown, of another datatype or shape, or has not
                as many rows as the others.
            TooManyRows: more rows than the queue can ever hold.
        """
        if tensors.keys() != set(self._signature.input_names):
            names = ", ".join(self._signature.input_names)
            raise InputInvalid(f"the inputs of the model are {names}")
        for spec in self._signature.inputs:
            tensor = tensors[spec.name]
            check_declaration(spec, DATATYPES_BY_DTYPE[tensor.dtype].name, tensor.shape)
        lengths = {len(tensor) for tensor in tensors.values() if tensor.ndim}
        if len(lengths) > 1 and self._has_common_rows:
            raise InputInvalid("the inputs differ in rows")
        if lengths:
            self._check_row_count(max(lengths))
        for rules in self._rules:
            if violations := rules.violations(tensors[rules.name]):
                raise ContractViolated(tuple(violations))
        return self.row_count(tensors)

    def table_to_tensors(self, cells: Cells) -> Tensors:
        """Pack a table with one list for each column; None is a cell without a value.

        Raises:
            ContractViolated: a value breaks the contract, or has to be there.
            InputInvalid: a row is none of a table, or these are not its columns.
            TooManyRows: more rows than the queue can ever hold.
        """
        if self.table is None:
            raise InputInvalid("the rows of the model are no rows of a table")
        return self.columns_to_tensors(self.table.to_fields(cells))

    def row_count(self, tensors: Tensors) -> int:
        """Count the rows that are billed: the common length of axis 0, or 1 where there is none."""
        if self._has_scalars:
            return 1
        lengths = {len(tensor) for tensor in tensors.values()}
        return lengths.pop() if len(lengths) == 1 else 1

    def row_json_schema(self) -> dict[str, object]:
        """Describe one row of a request as JSON Schema 2020-12."""
        if self._bare is not None:
            return dict(self._fields[0].json_schema)
        return row_schema(self._fields)

    def element_json_schemas(self, spec: TensorSpec) -> list[dict[str, object]]:
        """Describe the elements of one input: those of a row where features name them, else one."""
        for rules in self._rules:
            if rules.name == spec.name:
                return rules.json_schemas
        return [element_json_schema(spec.type)]

    def prediction_json_schema(self) -> dict[str, object]:
        """Describe one row of an answer as JSON Schema 2020-12."""
        return prediction_schema(self._signature.outputs, self._output_docs)

    def _pack_objects(self, instances: list[object]) -> Tensors:
        if len(instances) >= _MANY_ROWS:
            columns = self._rows.transpose(instances)
            if columns is not None:
                return {packing.name: packing.pack_columns(columns) for packing in self._packings}
        rows = self._rows.check_rows(instances)
        return {packing.name: packing.pack_rows(rows) for packing in self._packings}

    def _check_row_count(self, count: int) -> None:
        if count == 0:
            raise InputInvalid("there is no row to predict")
        if count > self.max_rows:
            raise TooManyRows(self.max_rows)

    def _check_fixed_rows(self, tensors: Tensors) -> None:
        for name, size in self._fixed_rows:
            if len(tensors[name]) != size:
                raise InputInvalid(f"input {name} takes exactly {size} rows")

    def _is_keyed(self, instance: object) -> bool:
        """Say whether rows for the only input are objects that name it, as clients may write."""
        name = self.feature_names[0]
        return isinstance(instance, dict) and name != _BASE64_MEMBER and name in instance

    def _length_of(self, columns: dict[object, object]) -> int:
        """Find how many rows columns have; where nothing can be counted, their check will tell."""
        lengths = {len(column) for column in columns.values() if isinstance(column, list)}
        for length in lengths:
            self._check_row_count(length)
        if len(lengths) > 1 and self._has_common_rows:
            raise InputInvalid("the lists in inputs differ in length")
        return max(lengths, default=1)


def _quotes_of(fields: Sequence[Field]) -> int | None:
    """Count the quotation marks in the JSON of a row that is an object with every member."""
    counts = [field.quotes for field in fields]
    if None in counts:
        return None
    return sum(_NAME_QUOTES + (count or 0) for count in counts)
