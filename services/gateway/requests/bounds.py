"""How much a request may hold before anybody parses it, and how long it may take to come: bodies, nesting, heads."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import h11
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from voxrelay.errors import Refused

HEAD_BYTES = 64 * 1024  # request line and headers together
LINE_SPARE_BYTES = 32  # method, version, separators
HEAD_S = 10.0  # from the connection to the first request's last header
LINGER_S = 2.0  # how long, and how much, of a body is still read and thrown away when its refusal has been sent
LINGER_BYTES = 8_000_000
_EXPECTED = "voxrelay.body"


class BoundedBodies:
    """ASGI middleware: a body has at most ``most_bytes``, unless its route takes files and says so with ``expect``, and never pauses for ``idle_s``.

    What is too much is refused where the body is read, so that every protocol answers in its own words.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, idle_s: float) -> None:
        self._app, self._most_bytes, self._idle_s = app, most_bytes, idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            body = scope[_EXPECTED] = _Body(scope, receive, self._most_bytes, self._idle_s)
            await self._app(scope, body.receive, body.closing(send))
        else:
            await self._app(scope, receive, send)


class _Body:
    def __init__(self, scope: Scope, receive: Receive, most_bytes: int, idle_s: float) -> None:
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"")
        self._announced = int(announced) if announced.isdigit() else 0
        self._is_there = self._announced > 0 or b"transfer-encoding" in headers
        self._is_held_back = b"expect" in headers  # the client asks before it sends
        self._receive, self.most_bytes, self._idle_s = receive, most_bytes, idle_s
        self._size = 0
        self._is_complete = False

    async def receive(self) -> Message:
        if self._is_complete:
            return await self._receive()  # waits for the client to go away
        self._check(self._announced)
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._receive()
        except TimeoutError:
            raise Refused("SESSION_IDLE", f"Nothing of the body came for {self._idle_s:.0f} s; send it again.") from None
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
        else:
            self._is_complete = True
        self._check(self._size)
        return message

    def closing(self, send: Send) -> Send:
        """An answer to a body that was not read to its end is the connection's last: the rest, however long, is not read to be thrown away."""

        is_last = False

        async def send_and_close(message: Message) -> None:
            nonlocal is_last
            if message["type"] == "http.response.start" and self._is_there and not self._is_complete:
                is_last = True
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            if is_last and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await self._linger()
                message = {"type": "http.response.body"}
            await send(message)

        return send_and_close

    async def _linger(self) -> None:
        """A connection that is closed while its client still sends is reset, and many clients then lose the answer that they already have."""
        if self._is_held_back:
            return
        most = self._size + LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._is_complete and self._size < most:
                    message = await self._receive()
                    self._size += len(message.get("body", b""))
                    self._is_complete = message["type"] != "http.request" or not message.get("more_body", False)

    def _check(self, size: int) -> None:
        if size > self.most_bytes:
            raise Refused("MESSAGE_TOO_LARGE", f"This request takes {self.most_bytes // 1024} kB at most; send less at once.")


def expect(request: Request, most_bytes: int) -> None:
    """This request may have so large a body: a file, or audio as it is spoken. Call it before the body is read."""
    body = request.scope.get(_EXPECTED)
    if body is not None:
        body.most_bytes = most_bytes


def parse_json(text: str | bytes | bytearray) -> Any:
    """What the text says. Raises ``ValueError`` for all it may be instead: no JSON, nested too deep, a number too long, half a character."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if "\\u" in text if isinstance(text, str) else b"\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # a UnicodeEncodeError, which is a ValueError, for an unpaired surrogate
    return value


class PatientProtocol(H11Protocol):
    """uvicorn's h11, which bounds the head's size, and a bound on the time it takes. A connection that says nothing is not kept either."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._look)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """What the WebSocket library takes no more is refused here: there it would stay without an answer."""
        longest = max(len(event.target), *(len(name) + len(value) for name, value in self.headers)) + LINE_SPARE_BYTES
        if longest > MAX_LINE_LENGTH or len(self.headers) > MAX_NUM_HEADERS:
            self.send_400_response(
                f"The address and each header may have {MAX_LINE_LENGTH} bytes, {MAX_NUM_HEADERS} headers; configure by a message."
            )
            return
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """A request whose body breaks may be at work already: it hears that its client is gone, and sends no answer behind this one."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer to HEAD has no body
            self.transport.close()

    def _look(self) -> None:
        if self.cycle is None and not self.transport.is_closing() and self.transport.get_protocol() is self:
            self.transport.close()
