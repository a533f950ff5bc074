"""One-time codes by time: six digits of HMAC-SHA-1 over half a minute (RFC 6238, RFC 4226)."""

import base64
import hmac
import secrets
from typing import Final
from urllib.parse import quote, urlencode

STEP_SECONDS: Final = 30
DIGITS: Final = 6
SECRET_BYTES: Final = 20
_DRIFT_STEPS: Final = 1  # clocks of people's telephones; RFC 6238 section 5.2


def new_totp_secret() -> bytes:
    """Make the secret of one authenticator: as many bits as SHA-1 has."""
    return secrets.token_bytes(SECRET_BYTES)


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a step (RFC 4226 section 5.3)."""
    tag = hmac.digest(secret, step.to_bytes(8), "sha1")
    start = tag[-1] & 0xF
    number = int.from_bytes(tag[start : start + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: bytes, code: str, *, now: float) -> int | None:
    """Return the step that a code belongs to, one before or after the present one at most.

    The caller keeps the step and takes no code of that step or an earlier one again.

    Threat: a code that somebody reads over a shoulder works for a minute and a half otherwise.

    Args:
        secret: of the authenticator.
        code: as it was typed.
        now: epoch seconds.
    """
    present = int(now) // STEP_SECONDS
    found = None
    for step in range(present - _DRIFT_STEPS, present + _DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def base32_of(secret: bytes) -> str:
    """Write a secret as authenticators read it."""
    return base64.b32encode(secret).decode()


def provisioning_uri(secret: bytes, *, username: str, issuer: str) -> str:
    """Return what an authenticator scans (the Key URI Format, `otpauth://totp/...`)."""
    label = quote(f"{issuer}:{username}", safe="")
    query = urlencode({"secret": base32_of(secret), "issuer": issuer})
    return f"otpauth://totp/{label}?{query}"
