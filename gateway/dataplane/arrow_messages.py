"""Look at the messages of an Arrow stream before any of them is read: it comes from strangers.

Source: Arrow columnar format, "IPC Streaming Format", with Message.fbs; FlatBuffers, "Internals".
"""

import struct
from typing import Any, Final, NamedTuple

import pyarrow as pa

from gateway.errors import EncodingUnsupported, RequestInvalid
from inference.errors import TooManyRows

MAX_MESSAGES: Final = 1024

_MESSAGE_HEADER: Final = 2
_BATCH_LENGTH: Final = 0
_BATCH_COMPRESSION: Final = 3
_DICTIONARY_DATA: Final = 1
_DICTIONARY_IS_DELTA: Final = 2


def check_messages(body: bytes, *, max_rows: int) -> None:
    """Pass a stream of few, uncompressed messages that announces no more than `max_rows`.

    Threat: a column of nulls has any number of rows in no bytes at all, and a compressed buffer
    becomes thousands of times its size as soon as it is read. A dictionary that is added to is
    copied with each addition.

    Raises:
        EncodingUnsupported: a buffer is compressed.
        RequestInvalid: there are too many messages, or one is not of a stream.
        TooManyRows: as many are announced.
        pyarrow.ArrowException, OSError, struct.error: these are no messages.
    """
    rows = 0
    for count, message in enumerate(pa.ipc.MessageReader.open_stream(pa.py_buffer(body))):
        if count == MAX_MESSAGES:
            raise RequestInvalid(f"the stream has more than {MAX_MESSAGES} messages")
        if message.type == "schema":
            continue
        if message.type not in ("record batch", "dictionary"):
            raise RequestInvalid("the stream has a message that is no batch")
        batch = _batch_of(message, is_dictionary=message.type == "dictionary")
        if batch.follow(_BATCH_COMPRESSION) is not None:
            raise EncodingUnsupported
        if message.type == "record batch":
            rows += batch.number(_BATCH_LENGTH)
        if rows > max_rows:
            raise TooManyRows(max_rows)


def _batch_of(message: Any, *, is_dictionary: bool) -> "_Table":  # noqa: ANN401 - pyarrow has no types
    """Find the record batch of a message; a dictionary has one inside."""
    metadata = memoryview(message.metadata)
    root = _Table(metadata, struct.unpack_from("<I", metadata, 0)[0])
    header = root.follow(_MESSAGE_HEADER)
    if header is not None and is_dictionary:
        if header.has(_DICTIONARY_IS_DELTA):
            raise RequestInvalid("the stream adds to a dictionary: send it whole")
        header = header.follow(_DICTIONARY_DATA)
    if header is None:
        raise RequestInvalid("the stream has a message without content")
    return header


class _Table(NamedTuple):
    """A FlatBuffers table; pyarrow has verified the offsets in it."""

    metadata: memoryview
    position: int

    def follow(self, slot: int) -> "_Table | None":
        """Find the table in a slot; None where it is empty."""
        place = self._place(slot)
        if place is None:
            return None
        return _Table(self.metadata, place + struct.unpack_from("<I", self.metadata, place)[0])

    def has(self, slot: int) -> bool:
        """Say whether a slot is not empty, as one that is false is."""
        return self._place(slot) is not None

    def number(self, slot: int) -> int:
        """Read the 64-bit number in a slot; an empty one is 0."""
        place = self._place(slot)
        return 0 if place is None else int(struct.unpack_from("<q", self.metadata, place)[0])

    def _place(self, slot: int) -> int | None:
        """Find where the value of a slot lies."""
        table = self.position - struct.unpack_from("<i", self.metadata, self.position)[0]
        entry = 4 + 2 * slot
        if entry >= struct.unpack_from("<H", self.metadata, table)[0]:
            return None
        offset = struct.unpack_from("<H", self.metadata, table + entry)[0]
        return self.position + offset if offset else None
