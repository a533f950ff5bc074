"""Choose the codec of a prediction from what its path and its headers say."""

from collections.abc import Iterable
from typing import Final

from gateway.dataplane.prediction import Codec
from gateway.dataplane.v1 import V1Codec

_V1: Final = V1Codec()


def choose_codec(operation: str, headers: Iterable[tuple[bytes, bytes]]) -> Codec:  # noqa: ARG001 - one protocol
    """Return the codec of one request; it reads the body and writes the answer."""
    return _V1
