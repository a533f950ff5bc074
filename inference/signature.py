"""Describe what a model takes and gives: the names, datatypes and shapes of its tensors."""

from dataclasses import dataclass

from inference.tensors import DATATYPES, Datatype

VARIABLE = -1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named input or output. Shape: -1 is a variable dimension; axis 0 is included."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def type(self) -> Datatype:
        """Look the datatype up."""
        return DATATYPES[self.datatype]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Leave out axis 0, along which the rows lie."""
        return self.shape[1:]


@dataclass(frozen=True, slots=True)
class Signature:
    """All inputs and outputs of a model, in the order of its graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    is_batchable: bool
    """Rows of different requests may share a run: axis 0 of every tensor is the same variable."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name the inputs in the order of the graph."""
        return tuple(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Name the outputs in the order of the graph."""
        return tuple(spec.name for spec in self.outputs)
