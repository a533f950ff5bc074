"""Answer with a table from the ledger: form, compression, checksum, and what may still change."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.reading.columns import Cells, Column
from gateway.reading.forms import Form, choose_form, wants_gzip
from gateway.reading.spool import Spool


class Answer:
    """One answer that is being put together, in the form that a request asks for."""

    def __init__(self, request: Request, columns: Sequence[Column], *, folder: Path) -> None:
        """Begin.

        Raises:
            NotAcceptable: the request takes no form that there is.
        """
        self.form: Form = choose_form(request.headers.get("accept"))
        self._is_gzip = self.form.is_text and wants_gzip(request.headers.get("accept-encoding"))
        self._spool = Spool(folder, is_gzip=self._is_gzip)
        self._writer = self.form.make_writer(self._spool.write, columns)

    async def add(self, rows: Sequence[Cells]) -> None:
        """Write some rows, in a thread, so that predictions do not wait for them."""
        await asyncio.to_thread(self._writer.add, rows)

    async def finish(self, links: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        """Return the response; `links` go into the body where its form has a place for them."""
        await asyncio.to_thread(self._writer.end, links)
        return self._respond(headers)

    async def finish_with(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """Return the response with a body that was written elsewhere."""
        await asyncio.to_thread(self._spool.write, body)
        return self._respond(headers)

    def close(self) -> None:
        """Forget an answer that does not come to be."""
        self._spool.close()

    def _respond(self, headers: Mapping[str, str]) -> Response:
        self._spool.finish()
        given = {
            "Content-Type": self.form.content_type,
            "Content-Length": str(self._spool.length),
            "Content-Digest": self._spool.digest,
            "Repr-Digest": self._spool.digest,
            "Vary": "Accept, Accept-Encoding",
            **headers,
        }
        if self._is_gzip:
            given["Content-Encoding"] = "gzip"
        return _SpooledResponse(self._spool, given)


class _SpooledResponse(Response):
    """Send what a spool holds, piece by piece, and let it go however that ends."""

    def __init__(self, spool: Spool, headers: Mapping[str, str]) -> None:
        self._spool = spool
        super().__init__()
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the signature is ASGI's
        """Send the head, and the body as the client takes it."""
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send(start | {"headers": self.raw_headers})
            async for piece in self._pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._spool.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self._spool.pieces():
            yield piece
