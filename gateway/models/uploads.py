"""Take the files of a version from a request, piece by piece, into a folder of their own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from gateway.errors import BodyTooLarge, MediaTypeUnsupported, RequestInvalid
from gateway.models.archives import unpack
from inference.version_files import MODEL_FILE, VersionPath

ARCHIVE: Final = "application/x-tar"
BARE: Final = "application/octet-stream"
_ARCHIVE_FILE: Final = "upload.tar"
_PIECE_BYTES: Final = 1024 * 1024


async def receive(
    chunks: AsyncIterator[bytes], path: VersionPath, *, media_type: str, max_bytes: int
) -> None:
    """Write a body to a version's folder: an archive of its files, or its `model.onnx` alone.

    Memory: a few pieces of a mebibyte, whatever the size.

    Raises:
        BodyTooLarge: it is over the cap; what was written goes with the folder.
        MediaTypeUnsupported: it is neither.
        RequestInvalid: the archive is none, or holds something else.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind not in (ARCHIVE, BARE):
        raise MediaTypeUnsupported(f"send {ARCHIVE} or {BARE}")
    is_archive = kind == ARCHIVE
    target = path.root / _ARCHIVE_FILE if is_archive else path.folder / MODEL_FILE
    if await _write(chunks, target, max_bytes) == 0:
        raise RequestInvalid("the body is empty")
    if is_archive:
        await asyncio.to_thread(unpack, target, path.folder)
        await asyncio.to_thread(target.unlink)


async def _write(chunks: AsyncIterator[bytes], target: Path, max_bytes: int) -> int:
    size = 0
    piece = bytearray()
    with target.open("xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge(max_bytes)
            piece += chunk
            if len(piece) >= _PIECE_BYTES:
                await asyncio.to_thread(file.write, bytes(piece))
                piece.clear()
        await asyncio.to_thread(file.write, bytes(piece))
    return size
