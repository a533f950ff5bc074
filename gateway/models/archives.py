"""Read the files of one version out of a tar archive, and nothing else.

Source: POSIX.1-2017, pax, "ustar Interchange Format".

Threat: a general reader follows links and paths out of its folder, takes sparse files of any size
for what they claim to be, and reads extended headers into memory whole. This one knows three names.
"""

import os
from pathlib import Path
from typing import IO, Final

from gateway.errors import RequestInvalid
from inference.version_files import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE

FILES: Final = frozenset({MODEL_FILE, GOLDEN_FILE, MANIFEST_FILE})
_BLOCK_BYTES: Final = 512
_COPY_BYTES: Final = 1024 * 1024
_MAX_MEMBERS: Final = 64
_FILE_KINDS: Final = (b"0", b"\0")
_FOLDER_KIND: Final = b"5"
_HEADER_KINDS: Final = (b"x", b"g")


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a version into a folder that exists.

    Raises:
        RequestInvalid: it is no tar archive, or holds anything but the files of one version.
    """
    with archive.open("rb") as source:
        for _ in range(_MAX_MEMBERS):
            header = source.read(_BLOCK_BYTES)
            if not header.strip(b"\0"):
                return
            _take_member(source, header, folder)
    raise RequestInvalid("the archive has too many members")


def _take_member(source: IO[bytes], header: bytes, folder: Path) -> None:
    if len(header) < _BLOCK_BYTES or not _is_sound(header):
        raise RequestInvalid("the body is no tar archive, or not all of it")
    size = _number(header[124:136])
    name = header[:100].partition(b"\0")[0].decode("ascii", "replace").removeprefix("./")
    kind = header[156:157]
    padding = -size % _BLOCK_BYTES
    if kind in _FILE_KINDS and name in FILES and not header[345:500].strip(b"\0"):
        _copy(source, folder / name, size)
        source.seek(padding, os.SEEK_CUR)
    elif kind in _HEADER_KINDS or (kind == _FOLDER_KIND and name in ("", ".")):
        source.seek(size + padding, os.SEEK_CUR)
    else:
        raise RequestInvalid(f"the archive may hold {', '.join(sorted(FILES))} and nothing else")


def _is_sound(header: bytes) -> bool:
    """Check the sum over the header, in which the sum itself counts as blanks."""
    summed = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    return _number(header[148:156]) == summed


def _number(field: bytes) -> int:
    """Read an octal number; -1 where there is none."""
    digits = field.strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        return -1
    return int(digits, 8)


def _copy(source: IO[bytes], target: Path, size: int) -> None:
    if size < 0 or target.exists():
        raise RequestInvalid("the archive holds a file twice, or one without a size")
    with target.open("xb") as copy:
        left = size
        while left:
            chunk = source.read(min(left, _COPY_BYTES))
            if not chunk:
                raise RequestInvalid("the body is no tar archive, or not all of it")
            copy.write(chunk)
            left -= len(chunk)
