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


def has_more_members(body: bytes, most: int) -> bool:
    """Say, without parsing, whether a body has more members than `most`, in all its objects.

    Threat: 300,000 members in one object hold the event loop for a tenth of a second.
    """
    if _quotes_in(body, 2 * most) <= 2 * most:
        return False
    return next(islice(_MEMBER.finditer(body), most, None), None) is not None


def parse_numbers(body: bytes, most_members: int) -> object | None:
    """Parse a body whose lists named `data` hold numbers alone; None where one must look closer.

    Every other string of the document is counted: two quotes for each. A member that stood twice,
    or text in the data, would leave quotes over.
    """
    quotes = _quotes_in(body, 4 * most_members)
    if quotes > 4 * most_members or b"\\" in body:
        return None
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if _quotes_of(document) == quotes else None


def _quotes_in(body: bytes, most: int) -> int:
    """Count quotes up to one more than `most`; among numbers that is quicker than `count`."""
    found, place = 0, body.find(b'"')
    while place >= 0 and found <= most:
        found += 1
        place = body.find(b'"', place + 1)
    return found


def _quotes_of(document: object) -> int:
    """Count the quotes of a document's text, but for that in lists named `data`.

    Threat: a function that called itself for each level would end at a thousand of them.
    """
    quotes = 0
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            quotes += 2
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            quotes += 2 * len(value)
            waiting += [item for name, item in value.items() if name != "data"]
    return quotes


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
