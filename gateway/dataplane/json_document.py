"""Parse untrusted JSON: one document, no member twice, every failure one exception.

Two parsers share the work. orjson is twice as fast but keeps the last of two equal members in
silence and refuses NaN; jiter detects duplicates and reads NaN and Infinity. Callers use the fast
one only where they can prove from the number of quotes that no member stood twice.
"""

import re
from itertools import islice
from typing import Final

import jiter
import orjson

from gateway.errors import JsonInvalid

_MEMBER: Final = re.compile(rb'(?<!\\)"\s*:')
"""The end of a member's name."""

_QUOTE: Final = b'"'
_MARKS: Final = (_QUOTE, b"r", b"s")
"""What is in a string, in `true` and in `false`, and in no number."""


def has_more_members(body: bytes, most: int) -> bool:
    """Say, without parsing, whether a body has more members than `most`, in all its objects.

    Threat: 300,000 members in one object hold the event loop for a tenth of a second.
    """
    if _count(body, _QUOTE, 2 * most) <= 2 * most:
        return False
    return next(islice(_MEMBER.finditer(body), most, None), None) is not None


def parse_numbers(body: bytes, most_members: int) -> object | None:
    """Parse a body whose lists named `data` hold numbers alone; None where one must look closer.

    They may be nested, and null or an empty object may be among them. Every other string of the
    document is counted: two quotes for each. A member that stood twice, or text in the data, would
    leave quotes over, and `true` or `false` in it a letter.
    """
    most = 4 * most_members
    marks = [_count(body, mark, most) for mark in _MARKS]
    if max(marks) > most or b"\\" in body:
        return None
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if _marks_of(document) == marks else None


def _count(body: bytes, mark: bytes, most: int) -> int:
    """Count one byte up to once more than `most`; among numbers that is quicker than `count`."""
    found, place = 0, body.find(mark)
    while place >= 0 and found <= most:
        found += 1
        place = body.find(mark, place + 1)
    return found


def _marks_of(document: object) -> list[int]:
    """Count the marks that a document was written with, but for those in lists named `data`.

    Threat: a function that called itself for each level would end at a thousand of them.
    """
    texts: list[str] = []
    flags: list[bool] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, bool):
            flags.append(value)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            texts += value
            waiting += [item for name, item in value.items() if name != "data"]
    written = "".join(texts)
    is_true, is_false = sum(flags), len(flags) - sum(flags)
    return [2 * len(texts), written.count("r") + is_true, written.count("s") + is_false]


def parse_fast(body: bytes) -> object | None:
    """Parse a body whose members may be repeated; None where only the strict parser can tell.

    A body with a backslash is left to the strict parser, so that each quote in a body parsed here
    begins or ends a string.
    """
    if b"\\" in body:
        return None
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document


def parse_strict(body: bytes) -> object:
    """Parse a body, NaN and Infinity included.

    Raises:
        JsonInvalid: not one JSON document in UTF-8, nested too deep, a number with too many
            digits, half a surrogate pair, or an object with the same member twice.
    """
    try:
        document: object = jiter.from_json(body, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise JsonInvalid(_reason(str(error))) from None
    return document


def _reason(message: str) -> str:
    """Keep the parser's verdict and the position, and drop a member's name, which is input."""
    if message.startswith("Detected duplicate key"):
        _, _, position = message.rpartition('"')
        return f"an object has the same member twice{position}"
    return message
