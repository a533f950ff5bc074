"""Archives as `tar` writes them, and as nobody should."""

import io
import tarfile
from collections.abc import Mapping


def archive_of(
    files: Mapping[str, bytes], *, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> bytes:
    """Write an archive of files, all of one kind."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mtime = kind, link, 1.5
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()
