"""Read from a path which model a prediction is for.

Source: TensorFlow Serving REST API, "Predict API".
"""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from gateway.errors import ModelNameInvalid
from inference.routing import UNNAMED, Selection

_TEMPLATE: Final = "/v1/models/{model}%s:predict"
PREDICT_ROUTE: Final = _TEMPLATE % ""
_ROUTES: Final = {
    b"versions": _TEMPLATE % "/versions/{version}",
    b"labels": _TEMPLATE % "/labels/{label}",
}
_PREDICT: Final = re.compile(
    rb"/v1/models/([^/:]{1,512})(?:/(versions|labels)/([^/:]{1,512}))?:predict"
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSION: Final = re.compile(r"[0-9]{1,18}")


class Target(NamedTuple):
    """What a path asks for."""

    operation: str
    """`predict`, in the words of the protocol."""

    route: str
    """The path's template, as in the OpenAPI document."""

    name: str
    """The model's."""

    selection: Selection


def is_prediction(path: str) -> bool:
    """Say whether a decoded path belongs to the door of predictions."""
    return path.endswith(":predict") and path.startswith("/v1/models/")


def read_target(raw_path: bytes) -> Target:
    """Read a path as it was sent, decoded exactly once.

    Raises:
        ModelNameInvalid: it names no model, version or label; a quoted slash never reaches another
            path.
    """
    match = _PREDICT.fullmatch(raw_path.partition(b"?")[0])
    if match is None:
        raise ModelNameInvalid
    name = _unquoted(match[1], _NAME)
    kind = match[2]
    if kind is None:
        return Target("predict", PREDICT_ROUTE, name, UNNAMED)
    if kind == b"versions":
        selection = Selection(version=_unquoted(match[3], _VERSION))
    else:
        selection = Selection(label=_unquoted(match[3], _NAME))
    return Target("predict", _ROUTES[kind], name, selection)


def _unquoted(text: bytes, form: re.Pattern[str]) -> str:
    value = unquote(text.decode("latin-1"))
    if form.fullmatch(value) is None:
        raise ModelNameInvalid
    return value
