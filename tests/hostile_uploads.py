"""Uploads that a server must refuse: every kind of hostile file, as it is sent."""

import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from onnx import ModelProto

from gateway.models.uploads import ARCHIVE, BARE
from tests.repositories import scaled_model
from tests.unit.gateway.models.archives import archive_of
from tests.unit.inference import external_models, hostile_models, hostile_texts
from tests.unit.inference.onnx_models import linear_model

MODEL: Final = "double"
"""The model that is attacked; its version 1 answers twice its input."""

_TWO: Final = b"\x00\x00\x00\x40"
_EIGHT: Final = b"\x00\x00\x00\x41"
"""FP32 that differ in one bit."""


@dataclass(frozen=True)
class Upload:
    """What is sent, and the refusal that it must get.

    No two contents that are made with different numbers are the same, so that no verdict is
    remembered.
    """

    make: Callable[[int], bytes]
    media_type: str = BARE
    status: int = 422
    code: str = "model_refused"
    version: int = 2


def labelled(content: bytes, number: int) -> bytes:
    """Append a producer's name to a model: a field that changes nothing but the digest."""
    name = f"{number:03}".encode()
    return content + b"\x12\x03" + name


def _model(make: Callable[[], bytes], number: int) -> bytes:
    return labelled(make(), number)


def _external(hide: Callable[[], ModelProto], number: int) -> bytes:
    return labelled(bytes(hide().SerializeToString()), number)


def _located(location: str, number: int) -> bytes:
    return labelled(hostile_models.external(location), number)


def _cut(number: int) -> bytes:
    """End a model anywhere before its last field, the second operator set: it is whole without."""
    content = linear_model()
    return content[: 1 + number % (content.rindex(b"B") - 1)]


def _flipped(number: int) -> bytes:
    """Turn one bit of the weight; the samples say what it was."""
    content = scaled_model(2)
    assert content.count(_TWO) == 1
    model = labelled(content.replace(_TWO, _EIGHT), number)
    golden = {"instances": [3], "predictions": [6]}
    return archive_of({"model.onnx": model, "golden.json": json.dumps(golden).encode()})


def _beside(number: int) -> bytes:
    """Bring a file along that is none of a version's."""
    return archive_of({"model.onnx": labelled(scaled_model(2), number), "weights.bin": b"?"})


def _above(number: int) -> bytes:
    """Name a file outside the version's folder."""
    return archive_of({"../model.onnx": labelled(scaled_model(2), number)})


def _link(kind: bytes, number: int) -> bytes:
    """Bring a link to a file of the server for the model."""
    return archive_of({"model.onnx": b""}, kind=kind, link=f"/etc/passwd{'/.' * number}")


def _changed(number: int) -> bytes:
    """Give a version that is registered other weights."""
    return scaled_model(number + 3)


def _texts(make: Callable[[int], Mapping[str, bytes]], number: int) -> bytes:
    return archive_of(make(number))


def _archive(make: Callable[[int], bytes]) -> Upload:
    return Upload(make, ARCHIVE, status=400, code="bad_request")


UPLOADS: Final[Mapping[str, Upload]] = MappingProxyType(
    {
        **{kind: Upload(partial(_model, make)) for kind, make in hostile_models.HOSTILE.items()},
        **{
            f"external data, {carrier}": Upload(partial(_external, hide))
            for carrier, hide in external_models.CARRIERS.items()
        },
        **{
            f"external data at {location!r}": Upload(partial(_located, location))
            for location in external_models.LOCATIONS
        },
        **{
            kind: Upload(partial(_texts, make), ARCHIVE)
            for kind, make in hostile_texts.HOSTILE.items()
        },
        "cut anywhere": Upload(_cut),
        "a bit turned": Upload(_flipped, ARCHIVE),
        "a file too many": _archive(_beside),
        "a file above": _archive(_above),
        "a symbolic link": _archive(partial(_link, tarfile.SYMTYPE)),
        "a hard link": _archive(partial(_link, tarfile.LNKTYPE)),
        "changed after registration": Upload(
            _changed, status=409, code="version_exists", version=1
        ),
    }
)
