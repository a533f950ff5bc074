"""Read from a path which model a prediction is for.

Source: TensorFlow Serving REST API, "Predict API"; Open Inference Protocol 2, "HTTP/REST".
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from gateway.errors import ModelNameInvalid
from inference.routing import UNNAMED, Selection

PREDICT: Final = "predict"
INFER: Final = "infer"
_ROUTES: Final = {
    (PREDICT, None): "/v1/models/{model}:predict",
    (PREDICT, b"versions"): "/v1/models/{model}/versions/{version}:predict",
    (PREDICT, b"labels"): "/v1/models/{model}/labels/{label}:predict",
    (INFER, None): "/v2/models/{model}/infer",
    (INFER, b"versions"): "/v2/models/{model}/versions/{version}/infer",
    (INFER, b"labels"): "/v2/models/{model}/labels/{label}/infer",
}
_PREDICT: Final = re.compile(
    rb"/v1/models/([^/:]{1,512})(?:/(versions|labels)/([^/:]{1,512}))?:predict"
)
_INFER: Final = re.compile(
    rb"/v2/models/([^/:]{1,512})(?:/(versions|labels)/([^/:]{1,512}))?/infer"
)
_DECODED_INFER: Final = re.compile(r"/v2/models/[^/]+(?:/(?:versions|labels)/[^/]+)?/infer")
_KNOWN_PATHS: Final = 1024
"""Paths that are not read again; callers have few, and one who makes them up costs himself time."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSION: Final = re.compile(r"[0-9]{1,18}")


class Target(NamedTuple):
    """What a path asks for."""

    operation: str
    """`predict` or `infer`, in the words of the protocol."""

    route: str
    """The path's template, as in the OpenAPI document."""

    name: str
    """The model's."""

    selection: Selection


def is_prediction(path: str) -> bool:
    """Say whether a decoded path belongs to the door of predictions."""
    if path.startswith("/v1/models/"):
        return path.endswith(":predict")
    return path.endswith("/infer") and _DECODED_INFER.fullmatch(path) is not None


@lru_cache(maxsize=_KNOWN_PATHS)
def read_target(raw_path: bytes) -> Target:
    """Read a path as it was sent, decoded exactly once.

    Raises:
        ModelNameInvalid: it names no model, version or label; a quoted slash never reaches another
            path.
    """
    path = raw_path.partition(b"?")[0]
    operation = _operation_of(path)
    match = (_PREDICT if operation == PREDICT else _INFER).fullmatch(path)
    if match is None:
        raise ModelNameInvalid
    name = _unquoted(match[1], _NAME)
    kind = match[2]
    if kind is None:
        selection = UNNAMED
    elif kind == b"versions":
        selection = Selection(version=_unquoted(match[3], _VERSION))
    else:
        selection = Selection(label=_unquoted(match[3], _NAME))
    return Target(operation, _ROUTES[operation, kind], name, selection)


def route_of(raw_path: bytes) -> str:
    """Return the template of a path as it was sent; the shortest of its protocol for a wrong name.

    Nothing is told of the path: this is for counts of requests whose caller is not known yet.
    """
    try:
        return read_target(raw_path).route
    except ModelNameInvalid:
        return _ROUTES[_operation_of(raw_path), None]


def read_names(name: str, version: str) -> tuple[str, Selection]:
    """Read a model's name and version as messages hold them; no version is the empty text.

    Raises:
        ModelNameInvalid: they name no model or version.
    """
    if _NAME.fullmatch(name) is None or (version and _VERSION.fullmatch(version) is None):
        raise ModelNameInvalid
    return name, Selection(version=version) if version else UNNAMED


def _operation_of(raw_path: bytes) -> str:
    return PREDICT if raw_path.startswith(b"/v1/") else INFER


def _unquoted(text: bytes, form: re.Pattern[str]) -> str:
    value = unquote(text.decode("latin-1"))
    if form.fullmatch(value) is None:
        raise ModelNameInvalid
    return value
