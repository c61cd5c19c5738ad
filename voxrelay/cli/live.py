"""One live session over as many connections as it takes: audio that the platform has not got is sent again, results come once each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

PASSING = ("NOT_READY", "SHUTTING_DOWN", "TOO_MANY_SESSIONS", "OVERLOADED", "LOG_UNAVAILABLE")  # errors worth another try
RETRY_S = 0.2
PIECE_BYTES = 32_000
MOST_KEPT_BYTES = 30_000_000  # five minutes at 48 kHz; what was sent before that has arrived, or the connection would have broken long ago
MOST_UNSENT_BYTES = 4_000_000


class Refusal(Exception):
    """The platform refused the connection; the text says why."""


class LiveCall:
    """Mono pcm_s16le in by ``feed`` and ``finish``, messages out of ``messages``, all on one event loop.

    What a broken connection may have swallowed is kept until a final tells that the platform has it, of a long silence the last
    minutes, and the session goes on for ``patience_s`` of failing attempts: at the address given, or at whichever gateway answers there.
    """

    def __init__(
        self,
        url: Callable[[], str] | str,
        sample_rate_hz: int,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = 30.0,
    ) -> None:
        """``url``: ws://host:port of a gateway, or what gives the next one to try. ``parameters`` as in docs/protocols/native.md."""
        self._url = url if callable(url) else lambda: url
        self._rate_hz, self._headers, self._patience_s = sample_rate_hz, dict(headers or {}), patience_s
        self._parameters = {"encoding": "linear16", "sample_rate": str(sample_rate_hz), **(parameters or {})}
        self._kept = bytearray()
        self._kept_from = 0  # bytes of the whole call that stand before what is kept
        self._dropped_to = 0  # before what was not dropped for want of room
        self._sent_to = 0  # and before what the connection has not taken yet
        self._is_finished = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._token = ""
        self._last_sequence = 0
        self.connection: ClientConnection | None = None
        self.connections = 0

    async def feed(self, pcm_s16le: bytes) -> None:
        """Waits where the platform takes audio more slowly than it comes."""
        while self._end - self._sent_to > MOST_UNSENT_BYTES:
            self._room.clear()
            await self._room.wait()
        self._kept += pcm_s16le
        if len(self._kept) > MOST_KEPT_BYTES:
            self._dropped_to = self._end - MOST_KEPT_BYTES
            self._forget_before(self._dropped_to)
        self._news.set()

    def finish(self) -> None:
        """No more audio comes."""
        self._is_finished = True
        self._news.set()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Everything the platform says, until ``closed`` or an error that another try would not mend.

        Raises ``Refusal`` where the platform refuses the connection or lost audio that is kept no longer, ``OSError`` or ``TimeoutError``
        when nobody answers for too long.
        """
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                async with await self._dial() as self.connection:
                    async for message in self._visit(self.connection):
                        give_up_at = time.monotonic() + self._patience_s
                        yield message
                        if message["type"] in ("closed", "error"):
                            return
            except InvalidStatus as refusal:
                if refusal.response.status_code < 500 or time.monotonic() > give_up_at:
                    raise Refusal(refusal.response.body.decode(errors="replace") or str(refusal)) from None
            except (OSError, TimeoutError, InvalidHandshake):
                if time.monotonic() > give_up_at:
                    raise
            if time.monotonic() > give_up_at:
                raise TimeoutError("the connection was lost and could not be taken up again")
            await asyncio.sleep(RETRY_S)

    async def _dial(self) -> ClientConnection:
        resuming = {"resume_token": self._token, "last_sequence": str(self._last_sequence)} if self._token else {}
        address = f"{self._url()}/ws/v1/transcribe?{urlencode({**self._parameters, **resuming})}"
        self.connections += 1
        return await connect(address, additional_headers=self._headers, compression=None, max_size=2**24, open_timeout=20)

    async def _visit(self, connection: ClientConnection) -> AsyncIterator[dict[str, Any]]:
        """The messages of one connection. Ends when it breaks, or with an error that passes."""
        sending: asyncio.Task[None] | None = None
        try:
            async for text in connection:
                message = json.loads(text)
                if message["type"] == "session":
                    is_first = not self._token
                    self._token = message.get("resume_token", "")
                    self._sent_to = message.get("audio_frames", 0) * 2
                    if self._sent_to < self._dropped_to:
                        raise Refusal("It asks for audio of so long ago that it is kept no longer")
                    sending = asyncio.create_task(self._send(connection))
                    if not is_first:
                        continue
                elif message["type"] == "error" and self._is_worth_another_try(message["error"]["code"]):
                    return
                elif message["type"] == "final":
                    self._forget_before(int(message["end"] * self._rate_hz) * 2)
                self._last_sequence = message.get("sequence", self._last_sequence)
                yield message
        except ConnectionClosed:
            return
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def _is_worth_another_try(self, code: str) -> bool:
        if code == "NOT_RESUMABLE" and not self._last_sequence and not self._kept_from:
            self._token = ""  # nothing of it came to anything: begin anew
            return True
        return code in PASSING and bool(self._token)

    @property
    def kept_bytes(self) -> int:
        """Audio that would be sent again after a break; at most MOST_KEPT_BYTES."""
        return len(self._kept)

    @property
    def _end(self) -> int:
        return self._kept_from + len(self._kept)

    def _forget_before(self, at: int) -> None:
        """The platform has this audio for good: it told results of it, or took it very long ago."""
        done = min(at - self._kept_from, len(self._kept))
        if done > 0:
            del self._kept[:done]
            self._kept_from += done

    async def _send(self, connection: ClientConnection) -> None:
        while True:
            self._news.clear()
            while self._sent_to < self._end:
                self._sent_to = max(self._sent_to, self._kept_from)  # a final's end is rounded
                start = self._sent_to - self._kept_from
                piece = bytes(self._kept[start : start + PIECE_BYTES])
                await connection.send(piece)
                self._sent_to += len(piece)
                self._room.set()
            if self._is_finished:
                await connection.send(json.dumps({"type": "close_stream"}))
                return
            await self._news.wait()
