"""Fields of protobuf messages written by hand: such as no library writes, and readers must take.

Source: Protocol Buffers, "Encoding".
"""


def varint(number: int, *, filling: int = 0) -> bytes:
    """Write a number; with filling in so many more bytes than it needs."""
    written = bytearray()
    while number > 0x7F or filling:
        written.append(number & 0x7F | 0x80)
        filling -= number <= 0x7F
        number >>= 7
    return bytes([*written, number])


def field(number: int, content: bytes, *, filling: int = 0) -> bytes:
    """Write a field that says how long it is; `filling` as in `varint`."""
    return bytes([number << 3 | 2]) + varint(len(content), filling=filling) + content
