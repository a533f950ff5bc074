"""Read records for an export from a server, over HTTPS or on this machine."""

import base64
import gzip
import hashlib
import io
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import orjson

from gateway.cli.session_client import NoRedirects, check_url
from gateway.errors import ExportFailed, LogInFailed
from gateway.moments import microseconds, moment_of, parse_moment, rfc3339
from gateway.reading.export import PAGE_RECORDS, Opening, Source, SourcePage, lines_cells
from gateway.reading.forms import JSON, NDJSON
from gateway.reading.record_query import PATH
from gateway.reading.sources import cut_end
from gateway.reading.standing import COMPLETE_THROUGH

_SECONDS: Final = 120.0
_EPOCH: Final = "1970-01-01"
_MONTHS: Final = {"bucket": "month"}
_MOST_BYTES: Final = 64 * 1024 * 1024
_NEXT: Final = re.compile(r'<(/[^>]*)>; rel="next"')

Headers = Mapping[str, str]
Query = dict[str, str]


class ServerSource(Source):
    """The records that a server shows to whoever has a key."""

    def __init__(self, server: str, api_key: str, query: Query) -> None:
        """Ask a server.

        Threat: over plain HTTP everybody on the way reads the key, and a redirect would take it
        elsewhere.

        Raises:
            ExportFailed: the URL is neither HTTPS nor on this machine.
        """
        try:
            self._server = check_url(server)
        except LogInFailed:
            message = "--server must be https://HOST, or http:// on this machine"
            raise ExportFailed(message) from None
        self._api_key = api_key
        self._query = query

    def begin(self) -> Opening:
        """Find out where the export ends.

        Raises:
            ExportFailed: nothing that was asked for is complete yet, or the server refused.
        """
        headers, _ = self._get(f"{PATH}?{urlencode(self._query | {'limit': '1'})}", NDJSON)
        complete_us = _microseconds(headers[COMPLETE_THROUGH])
        start, end = self._query.get("from", _EPOCH), self._query.get("to")
        end_us = cut_end(
            _microseconds(start), None if end is None else _microseconds(end), complete_us
        )
        bounds = {"from": start, "to": rfc3339(moment_of(end_us))}
        tenant = {name: text for name, text in self._query.items() if name == "tenant_id"}
        _, report = self._get(f"/v1/usage?{urlencode(bounds | tenant | _MONTHS)}", JSON)
        requests = sum(line["requests"] for line in orjson.loads(report)["data"])
        query = self._query | {"to": bounds["to"], "limit": str(PAGE_RECORDS)}
        return Opening(f"{PATH}?{urlencode(query)}", bounds["to"], requests)

    def until(self, end: str) -> "ServerSource":  # noqa: ARG002 - it stands in the addresses
        """Return the same."""
        return self

    def read(self, position: str) -> SourcePage:
        """Read a page by its address.

        Raises:
            ExportFailed: the server refused, cannot be reached, or the page is not whole.
        """
        headers, body = self._get(position, NDJSON)
        behind = _NEXT.search(headers.get("Link", ""))
        if behind is None:
            raise ExportFailed("the server does not answer as Tollgate does")
        return SourcePage(list(lines_cells(io.BytesIO(body))), behind[1])

    def _get(self, path: str, accept: str) -> tuple[Headers, bytes]:
        headers = {
            "Authorization": f"Bearer {self._api_key}",
            "Accept": accept,
            "Accept-Encoding": "gzip",
        }
        request = urllib.request.Request(self._server + path, headers=headers)  # noqa: S310 - checked above
        opener = urllib.request.build_opener(NoRedirects)
        try:
            with opener.open(request, timeout=_SECONDS) as response:
                return response.headers, _checked(response.read(_MOST_BYTES), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                raise ExportFailed(_reason(error)) from None
        except OSError as error:
            raise ExportFailed(f"{self._server} cannot be reached: {error}") from None


def _checked(body: bytes, headers: Headers) -> bytes:
    """Return the body without compression, if it is what its checksum says."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if headers.get("Repr-Digest") != f"sha-256=:{digest}:":
        raise ExportFailed("an answer was cut or changed on the way: its checksum is another")
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


def _microseconds(text: str) -> int:
    return microseconds(parse_moment(text))


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        detail = orjson.loads(error.read(_MOST_BYTES))["detail"]
    except (ValueError, KeyError, TypeError):
        detail = error.reason
    return f"{error.code}: {detail}; what is written stays: run it again to go on"
