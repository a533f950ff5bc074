"""Ask a server to open or end a session, over HTTPS or on this machine."""

import json
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.errors import LogInFailed

_SECONDS: Final = 60.0
_ANSWER_BYTES: Final = 65_536


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Threat: an answer that points elsewhere would take the password there."""

    def redirect_request(self, *_arguments: Any) -> None:  # noqa: ANN401 - the library's
        """Follow nothing."""


def check_url(url: str) -> str:
    """Return the URL of a server without the slash at its end.

    Threat: over plain HTTP everybody on the way reads the password.

    Raises:
        LogInFailed: neither HTTPS nor on this machine.
    """
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
    if not is_safe or not parts.hostname:
        raise LogInFailed("--url must be https://HOST, or http:// on this machine")
    return url.rstrip("/")


def send(
    method: str, url: str, *, body: dict[str, object] | None = None, token: str | None = None
) -> dict[str, Any]:
    """Send a request and return the document that is answered.

    Raises:
        LogInFailed: the server refused, or cannot be reached.
    """
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked above
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(request, timeout=_SECONDS) as response:
            return _document(response.read(_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            raise LogInFailed(_reason(error), status=error.code) from None
    except OSError as error:
        raise LogInFailed(f"{url} cannot be reached: {error}") from None


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content or b"{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise LogInFailed("the server does not answer as Tollgate does")
    return document


def _reason(error: urllib.error.HTTPError) -> str:
    if error.code == 401:  # noqa: PLR2004 - the status
        return "the username, the password or the code is wrong"
    try:
        detail = str(_document(error.read(_ANSWER_BYTES)).get("detail", error.reason))
    except LogInFailed:
        detail = str(error.reason)
    wait = error.headers.get("Retry-After")
    return f"{error.code}: {detail}" + (f"; again in {wait} s" if wait else "")
