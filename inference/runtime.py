"""Say what any engine that executes a model looks like to the rest of this package."""

from typing import Protocol

from inference.signature import Signature
from inference.tensors import Tensors


class Runtime(Protocol):
    """Execute one model version."""

    @property
    def signature(self) -> Signature:
        """Tell what the model takes and gives."""

    def run(self, tensors: Tensors, /) -> Tensors:
        """Run the model once, blocking the calling thread.

        Called once at a time for callers, and perhaps from one more thread beside it, for a request
        that is mirrored.

        Raises:
            InputInvalid: the graph cannot take values like these.
            Exception: whatever the engine raises when the model fails.
        """

    def close(self) -> None:
        """Give back what the engine holds."""
