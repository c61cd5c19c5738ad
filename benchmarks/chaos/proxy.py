"""A TCP relay in front of one server, whose network can be cut, slowed down, or answered for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

PIECE_BYTES = 65_536
WAITING_PIECES = 64  # on their way in one direction; more are not read, as a full link would do
ERROR_BODY = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>The store does not take this at the moment.</Message></Error>'
STATUSES = {503: (b"503 Service Unavailable", b"ServiceUnavailable"), 507: (b"507 Insufficient Storage", b"InsufficientStorage")}


class Network:
    """The event loop of all proxies, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """From any other thread: the result of work on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Proxy:
    """Listens on ``port`` of loopback and passes everything on to ``target_port``, until told otherwise. Methods are for other threads."""

    def __init__(self, network: Network, port: int, target_port: int) -> None:
        self._network, self.port, self._target_port = network, port, target_port
        self._delay_s = 0.0
        self._status = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def open(self) -> None:
        self._network.run(self._open())

    def close(self) -> None:
        """Ends every connection."""
        self._network.run(self._refuse())

    def refuse(self) -> None:
        """Nobody listens any more, and connections are reset."""
        self._network.run(self._refuse())

    def cut(self) -> None:
        """What is sent arrives nowhere and nobody is told, as when a cable is pulled, until ``mend``."""
        self._network.run(self._set(delay_s=float("inf"), status=0))

    def delay(self, delay_s: float) -> None:
        """Everything arrives later by so much, in each direction."""
        self._network.run(self._set(delay_s=delay_s, status=0))

    def answer(self, status: int) -> None:
        """Every HTTP request gets this status (503 or 507) instead of reaching the server. Connections that were open are reset."""
        self._network.run(self._answer(status))

    def mend(self) -> None:
        """As before. What a cut link held back is lost with its connections, which are reset."""
        self._network.run(self._mend())

    # --- on the loop ---

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=PIECE_BYTES)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _set(self, delay_s: float, status: int) -> None:
        self._delay_s, self._status = delay_s, status

    async def _answer(self, status: int) -> None:
        await self._set(0.0, status)
        await self._reset()

    async def _mend(self) -> None:
        needs_reset = bool(self._delay_s == float("inf") or self._status)
        await self._set(0.0, 0)
        if needs_reset:
            await self._reset()
        if self._server is None:
            await self._open()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await (self._answer_requests(reader, writer) if self._status else self._relay(reader, writer))
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=PIECE_BYTES)
        try:
            ways = [asyncio.create_task(self._pass_on(reader, there_writer)), asyncio.create_task(self._pass_on(there_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            there_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction. Pieces wait in a queue, so that a delay does not make the link narrower."""
        now = asyncio.get_running_loop().time
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_PIECES)

        async def read() -> None:
            with contextlib.suppress(OSError):  # reset, as by a server that was killed: the other side learns that it is over, too
                while piece := await reader.read(PIECE_BYTES):
                    await waiting.put((now(), piece))
            await waiting.put((now(), b""))

        reading = asyncio.create_task(read())
        try:
            while True:
                arrived_at, piece = await waiting.get()
                while now() < arrived_at + self._delay_s:
                    await asyncio.sleep(min(0.05, max(0.001, arrived_at + self._delay_s - now())))
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _answer_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        left = int(lengths[0]) if lengths else 0
        while left > 0 and (piece := await reader.read(min(left, PIECE_BYTES))):
            left -= len(piece)
        line, code = STATUSES[self._status]
        body = ERROR_BODY % code
        writer.write(b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (line, len(body), body))
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.1)  # an abort before the client has read would throw the answer away
