"""Versions without a model whose texts take what they can get."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_ENGINE: Final = b'runtime = "grpc://127.0.0.1:1"\n'
_MEBIBYTE: Final = 1024**2


def _manifest(rest: bytes, number: int) -> dict[str, bytes]:
    return {"model.toml": b"%b# %d\n%b" % (_ENGINE, number, rest)}


def deep_manifest(number: int) -> dict[str, bytes]:
    """Nest arrays in arrays."""
    return _manifest(b"example = " + b"[" * 100_000, number)


def long_key(number: int) -> dict[str, bytes]:
    """Write a key of many parts, of which a reader keeps every beginning."""
    return _manifest(b"example" + b".a" * 20_000 + b" = 1", number)


def large_manifest(number: int) -> dict[str, bytes]:
    """Write more than anybody has to say of a model."""
    return _manifest(b"# " + b"." * _MEBIBYTE, number)


def broken_manifest(number: int) -> dict[str, bytes]:
    """Write what is no TOML."""
    return _manifest(b"[", number)


def deep_golden(number: int) -> dict[str, bytes]:
    """Nest lists in lists."""
    return _manifest(b"", number) | {"golden.json": b'{"instances": ' + b"[" * 100_000}


def broken_golden(number: int) -> dict[str, bytes]:
    """Write what is no JSON."""
    return _manifest(b"", number) | {"golden.json": b'{"instances": [1], "predictions'}


def large_golden(number: int) -> dict[str, bytes]:
    """Write more samples than anybody checks."""
    return _manifest(b"", number) | {"golden.json": b" " * (16 * _MEBIBYTE + 1)}


HOSTILE: Final[Mapping[str, Callable[[int], dict[str, bytes]]]] = MappingProxyType(
    {
        "deep manifest": deep_manifest,
        "long key": long_key,
        "large manifest": large_manifest,
        "broken manifest": broken_manifest,
        "deep golden samples": deep_golden,
        "broken golden samples": broken_golden,
        "large golden samples": large_golden,
    }
)
"""The files of each kind; different numbers make different ones."""

REASONS: Final = MappingProxyType(
    {
        "deep manifest": "nested too deeply",
        "long key": "MiB beyond four times its files",
        "large manifest": "is over 1048576 bytes",
        "broken manifest": "model.toml",
        "deep golden samples": "golden.json",
        "broken golden samples": "golden.json",
        "large golden samples": "is over 16777216 bytes",
    }
)
"""A part of the reason that each is refused for."""
