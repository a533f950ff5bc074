"""Choose the codec of a prediction from what its path and its headers say."""

from collections.abc import Iterable
from typing import Final

from gateway.dataplane.oip import OipCodec
from gateway.dataplane.paths import INFER
from gateway.dataplane.prediction import Codec
from gateway.dataplane.v1 import V1Codec

_V1: Final = V1Codec()


def choose_codec(operation: str, headers: Iterable[tuple[bytes, bytes]]) -> Codec:
    """Return the codec of one request; it reads the body and writes the answer.

    Raises:
        RequestInvalid: a header that says how to read the body makes no sense.
    """
    if operation == INFER:
        return OipCodec.of_headers(headers)
    return _V1
