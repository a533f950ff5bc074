"""Read a `ModelInferRequest` without copying its tensors.

protobuf copies every entry of `raw_input_contents` when it parses a message, and once more when the
entry is asked for. Here the entries of a large message are found by a walk over its outermost
fields, and handed out as views of the bytes that came; everything else is left to protobuf.

Source: Protocol Buffers, "Encoding"; Open Inference Protocol 2, "GRPC".
"""

from typing import Final

from gateway.dataplane.grpc_call import parse
from inference.protocol.open_inference_pb2 import ModelInferRequest
from inference.tensor_bytes import Buffer

_SMALLEST_BYTES: Final = 65_536
"""Copying less than this costs less than the walk."""

_MOST_FIELDS: Final = 64
_MOST_LENGTH_BYTES: Final = 4
_SHIFT: Final = 7
_MORE: Final = 1 << _SHIFT
_RAW: Final = 7 << 3 | 2
_KNOWN: Final = frozenset(number << 3 | 2 for number in range(1, 8))
"""The tags of the fields of a request; all of them say how long they are."""


class InferMessage:
    """A request whose tensors stand beside it.

    Attributes:
        head: everything but `raw_input_contents`, which is empty.
        size: bytes of the message.
    """

    __slots__ = ("_raw", "head", "size")

    def __init__(self, head: ModelInferRequest, raw: list[Buffer], *, size: int) -> None:
        self.head = head
        self.size = size
        self._raw = raw

    def take_raw(self) -> list[Buffer]:
        """Hand out the entries of `raw_input_contents`, once; the next time there are none.

        Whoever takes them alone keeps the memory of the message, while a call waits for its run and
        its record.
        """
        raw, self._raw = self._raw, []
        return raw

    def canonical_bytes(self) -> bytes:
        """Write the message, before its entries are taken, as any sender's of the same content."""
        whole = ModelInferRequest()
        whole.CopyFrom(self.head)
        whole.raw_input_contents.extend(bytes(entry) for entry in self._raw)
        content: bytes = whole.SerializeToString(deterministic=True)
        return content


def read_infer(content: bytes) -> InferMessage:
    """Read a request; the entries of a large one are views of `content`.

    Raises:
        RequestInvalid: it is no such message.
    """
    message = split(content) if len(content) >= _SMALLEST_BYTES else None
    if message is not None:
        return message
    head = parse(ModelInferRequest, content)
    raw: list[Buffer] = list(head.raw_input_contents)
    head.ClearField("raw_input_contents")
    return InferMessage(head, raw, size=len(content))


def split(content: bytes) -> InferMessage | None:
    """Part the entries of `raw_input_contents` from the rest of a message.

    None where there are none, or it is not as usual: a field that the protocol does not know, many
    fields, or one that is cut off. Cost: one step for each outermost field, 64 at most.

    Raises:
        RequestInvalid: what is not a tensor cannot be read.
    """
    view = memoryview(content)
    rest: list[memoryview] = []
    raw: list[Buffer] = []
    at = 0
    for _ in range(_MOST_FIELDS):
        if at == len(view):
            break
        field = _bounds(view, at)
        if field is None:
            return None
        start, end = field
        if view[at] == _RAW:
            raw.append(view[start:end])
        else:
            rest.append(view[at:end])
        at = end
    if at < len(view) or not raw:
        return None
    return InferMessage(parse(ModelInferRequest, b"".join(rest)), raw, size=len(view))


def _bounds(view: memoryview, at: int) -> tuple[int, int] | None:
    """Say where the content of the field at `at` starts and ends; None where it is not usual."""
    if view[at] not in _KNOWN:
        return None
    length = 0
    for position, byte in enumerate(view[at + 1 : at + 1 + _MOST_LENGTH_BYTES]):
        length |= (byte & ~_MORE) << _SHIFT * position
        if byte < _MORE:
            start = at + position + 2
            return (start, start + length) if start + length <= len(view) else None
    return None
