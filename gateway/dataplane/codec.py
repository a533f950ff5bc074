"""What the prediction path knows of a protocol: bytes to tensors, and tensors to bytes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from inference.registry import ModelVersion

Tensors = dict[str, NDArray[Any]]


class Decoded(Protocol):
    """A validated request, as the path sees it; its codec keeps more in it."""

    @property
    def tensors(self) -> Tensors:
        """Every input of the graph by its name."""

    @property
    def rows(self) -> int:
        """How many rows are billed."""

    @property
    def timeout_seconds(self) -> float | None:
        """How long the caller says that it waits; None where it does not say."""


class Encoded(NamedTuple):
    """The body of an answer, and what its protocol says of it."""

    body: Any
    """Bytes, or the message of a protocol that is not written here."""

    size: int
    """Bytes of the body."""

    headers: Sequence[tuple[bytes, bytes]]
    """Its media type, and whatever else describes it."""


class Codec(Protocol):
    """Bytes to tensors and back, in one protocol; it never sees a tenant.

    It may be made for one request, from its headers.
    """

    protocol: str
    """As usage records name it."""

    def decode(self, body: Any, model: ModelVersion) -> Any:  # noqa: ANN401 - its own Decoded
        """Read a request body."""

    def encode(self, outputs: Tensors, decoded: Any, model: ModelVersion) -> Encoded:  # noqa: ANN401
        """Write the answer to a decoded request."""
