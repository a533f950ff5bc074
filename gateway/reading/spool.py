"""Put an answer together beside the memory, so that its length and checksum can stand before it.

Source: RFC 9530 (Content-Digest, Repr-Digest); RFC 1952 (gzip, without a time in it).
"""

import base64
import hashlib
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

MEMORY_BYTES: Final = 1024 * 1024
"""More than this lies in a file without a name, in the data folder."""

PIECE_BYTES: Final = 64 * 1024
_GZIP_BITS: Final = 31
_QUICK: Final = 1


class Spool:
    """Take bytes, compressed or not, and give them back from the beginning."""

    def __init__(self, folder: Path, *, is_gzip: bool) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - `close` closes it
            MEMORY_BYTES, dir=str(folder)
        )
        self._hash = hashlib.sha256()
        self._gzip = zlib.compressobj(_QUICK, zlib.DEFLATED, _GZIP_BITS) if is_gzip else None
        self.length = 0

    def write(self, content: bytes) -> None:
        """Take some bytes."""
        self._put(content if self._gzip is None else self._gzip.compress(content))

    def finish(self) -> None:
        """Take no more."""
        if self._gzip is not None:
            self._put(self._gzip.flush())

    @property
    def digest(self) -> str:
        """Return the checksum of all that was taken, as the header fields have it."""
        return f"sha-256=:{base64.b64encode(self._hash.digest()).decode()}:"

    def pieces(self) -> Iterator[bytes]:
        """Give everything back."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        """Forget it."""
        self._file.close()

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self.length += len(content)
