"""Read the part of structured fields that limits are told in: a list of strings with integers.

Source: RFC 9651, sections 3.1 (lists), 3.1.2 (parameters), 3.3.1 (integers) and 3.3.3 (strings).
Strict: what the grammar does not allow raises.
"""

import re

_INTEGER = r"-?[0-9]{1,15}"
_KEY = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_PARAMETERS = rf"(?:; *{_KEY}={_INTEGER})*"
_ITEM = re.compile(rf"({_STRING})({_PARAMETERS})")
_SEPARATOR = re.compile(r"[ \t]*,[ \t]*")

Items = dict[str, dict[str, int]]


def parse_items(field: str) -> Items:
    """Parse a field value into names with their parameters.

    Raises:
        ValueError: it is not such a list, or a name or a parameter stands twice.
    """
    items: Items = {}
    position = 0
    while position < len(field) or not items:
        found = _ITEM.match(field, position)
        if found is None:
            raise ValueError(f"no item at {position}: {field!r}")
        items |= _item(found, items)
        position = found.end()
        if position < len(field):
            separator = _SEPARATOR.match(field, position)
            if separator is None or separator.end() == len(field):
                raise ValueError(f"no separator at {position}: {field!r}")
            position = separator.end()
    return items


def _item(found: "re.Match[str]", earlier: Items) -> Items:
    name = re.sub(r"\\(.)", r"\1", found[1][1:-1])
    pairs = [pair.strip(" ").split("=") for pair in found[2].split(";")[1:]]
    parameters = {key: int(value) for key, value in pairs}
    if name in earlier or len(parameters) < len(pairs):
        raise ValueError(f"{name} or a parameter of it stands twice")
    return {name: parameters}
