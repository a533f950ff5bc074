"""A unix socket in front of another one that passes everything on, late when told so."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

SLOW_SECONDS = 0.5
_CHUNK_BYTES = 65_536
_START_SECONDS = 10.0


class SlowProxy:
    """Stand between a client and a server, in a thread of its own."""

    def __init__(self, path: Path, *, behind: Path) -> None:
        self.path = path
        self._behind = behind
        self._is_slow = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Where clients of a Redis connect."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._ready.wait(_START_SECONDS)

    def stop(self) -> None:
        """End every connection and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def slow_down(self) -> None:
        """Let everything take half a second from here on."""
        self._is_slow.set()

    def speed_up(self) -> None:
        """Pass everything on at once again."""
        self._is_slow.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._accept, self.path))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _end(self) -> None:
        """Let what was just accepted begin, so that it closes its socket, and end it all."""
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            behind_reader, behind_writer = await asyncio.open_unix_connection(self._behind)
            with contextlib.closing(behind_writer):
                await asyncio.gather(
                    self._copy(reader, behind_writer), self._copy(behind_reader, writer)
                )

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._is_slow.is_set():
                    await asyncio.sleep(SLOW_SECONDS)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def slow_proxy(path: Path, *, behind: Path) -> Iterator[SlowProxy]:
    """Run a proxy for the length of a block."""
    proxy = SlowProxy(path, behind=behind)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
