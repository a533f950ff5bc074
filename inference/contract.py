"""Turn a caller's JSON values into the tensors of a model, or say exactly what is wrong."""

from typing import Protocol

from inference.tensors import Tensors


class Contract(Protocol):
    """A model's typed row: named features, or the inputs of the graph where nothing names them."""

    @property
    def is_named(self) -> bool:
        """Say whether rows are objects of named features from `model.toml`."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name the features; for a contract derived from the graph, its inputs."""

    @property
    def example_row(self) -> object:
        """Give one row that the contract accepts, as JSON values; None where nobody knows one."""

    def rows_to_tensors(self, instances: list[object]) -> Tensors:
        """Pack the row form.

        Raises:
            ContractViolated: a value breaks the contract.
            InputInvalid: these are not rows of this model.
            TooManyRows: more rows than the queue can ever hold.
        """

    def columns_to_tensors(self, columns: object) -> Tensors:
        """Pack the column form; raises as `rows_to_tensors`."""

    def row_count(self, tensors: Tensors) -> int:
        """Count the rows that are billed."""

    def row_json_schema(self) -> dict[str, object]:
        """Describe one row of a request as JSON Schema 2020-12."""

    def prediction_json_schema(self) -> dict[str, object]:
        """Describe one row of an answer as JSON Schema 2020-12."""
