"""Read the headers that say in which form a body is, and in which its answer is wanted.

Source: RFC 9110 sections 8.3.1 (Content-Type), 12.4.2 (weights) and 12.5.1 (Accept).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

_MOST_RANGES: Final = 32


class MediaType(NamedTuple):
    """A media type and its parameters, all in lower case."""

    name: str
    parameters: dict[str, str]


def read_media_type(value: bytes) -> MediaType:
    """Read a Content-Type, or one range of an Accept; what is no parameter is passed over."""
    name, *rest = value.decode("latin-1").lower().split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    parameters = {key.strip(): text.strip().strip('"') for key, _, text in pairs if text}
    return MediaType(name.strip(), parameters)


def preferred(accept: bytes, offered: Sequence[str]) -> str | None:
    """Choose of what is offered what an Accept wants most; the first of equals.

    None where it wants none of them. Of several ranges that hold a type the closest counts.
    """
    weights = dict[str, float]()
    for value in accept.split(b",")[:_MOST_RANGES]:
        media_range = read_media_type(value)
        weights[media_range.name] = _weight(media_range.parameters.get("q", "1"))
    best, most = None, 0.0
    for name in offered:
        ranges = (name, f"{name.partition('/')[0]}/*", "*/*")
        weight = next((weights[one] for one in ranges if one in weights), 0.0)
        if weight > most:
            best, most = name, weight
    return best


def _weight(text: str) -> float:
    """Read a weight; what is none counts as nothing."""
    whole, point, fraction = text.partition(".")
    is_weight = whole in ("0", "1") and (not point or fraction.isdigit() or not fraction)
    return min(float(text), 1.0) if is_weight and text.isascii() else 0.0
