"""Find secrets where they must not be: in any encoding, and in every log of a run of the suite."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

KINDS: Final = ("live", "test", "sess", "clnt", "boot")
LOGS: Final = "server.log"
_SHOWN_ON_PURPOSE: Final = re.compile(rb".*curl.*|\s*tg_boot_\w+\s*")
"""The demo prints requests to paste, with its keys; the first token stands on a line of its own."""
_TOKEN: Final = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{40,}")
_HASH: Final = re.compile(rb"\$argon2id\$")


def encodings(secret: str) -> dict[str, bytes]:
    """Write a secret as it might hide: raw, base64 at every offset, hex, percent-encoded."""
    return encodings_of_bytes(secret.encode())


def encodings_of_bytes(raw: bytes) -> dict[str, bytes]:
    """Write bytes as they might hide."""
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    found["percent"] = "".join(f"%{byte:02X}" for byte in raw).encode()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        inner = text[4 if offset else 0 : (len(raw) + offset) // 3 * 4]
        found[f"base64 at {offset}"] = inner
        found[f"base64url at {offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def appearances(secrets: list[str], data: bytes) -> list[tuple[str, str]]:
    """List which secrets stand in the bytes, by the start of the secret and the encoding."""
    return [
        (secret[:6], name)
        for secret in secrets
        for name, encoded in encodings(secret).items()
        if encoded in data
    ]


def leaks_below(folder: Path) -> list[str]:
    """Name every log below a folder that holds a secret of ours, and what it looks like.

    Which secrets there were need not be known: all of ours begin alike, tokens and hashes too.
    """
    return [
        f"{log.relative_to(folder)}: {what}"
        for log in sorted(folder.rglob(LOGS))
        for what in _leaks_in(log.read_bytes())
    ]


def _leaks_in(data: bytes) -> Iterator[str]:
    lines = data.split(b"\n")
    told = b"\n".join(line for line in lines if not _SHOWN_ON_PURPOSE.fullmatch(line))
    for kind in KINDS:
        for name, encoded in encodings(f"tg_{kind}_").items():
            if encoded in told:
                yield f"a {kind} secret, {name}"
    if _TOKEN.search(told):
        yield "an access token"
    if _HASH.search(told):
        yield "the hash of a password"
