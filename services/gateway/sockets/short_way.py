"""uvicorn's WebSocket with a short way for audio, and one for what is said about it (docs/adr/0011).

Between the socket and the application ASGI puts a queue, a change of tasks, and a stop and a restart of reading, for every message. Speech comes in
small messages, ten a second and more from each client, and nearly all of them can be passed on at once: those take the short way.

Frames are read by picows, which is compiled. What it reads and the short way does not take goes on to websockets' own reader, as if it came from
the socket: handshake, closing, pings, fragments and text are its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from picows import WSAutoPingStrategy, WSCloseCode, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its types leave it out
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN

EXTENSION = "voxrelay.short_way"  # under which an application finds the connection in its scope
READ_BYTES = 4096  # at first: a chunk of 100 ms at 16 kHz
BINARY = WSMsgType.BINARY
# picows makes the handshake itself. Ours has been made when it begins, so it is given this one.
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

# picows would name every client, and a client's mistakes are no errors of ours: what was raised is.
logging.getLogger("picows").setLevel(logging.ERROR)
logging.getLogger("picows").addFilter(lambda record: record.exc_info is not None)
log = logging.LoggerAdapter(logging.getLogger("picows"), {})  # of a plain logger picows makes one more for every connection


class ShortWaySocket(WebSocketsSansIOProtocol, WSListener):
    """While ``take`` is set and nothing waits in the queue, it is given each binary message of one frame.

    One for which it gives False goes the ordinary way. It is called on the event loop, in the order of the messages, and must not raise.
    """

    take: Callable[[bytes], bool] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # then the handshake was one
            self.transport.pause_reading()  # what comes before the application has accepted is for picows, too
            self.scope["extensions"][EXTENSION] = {"connection": self}

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept" and self.handshake_complete and not self.transport.is_closing():
            self._let_picows_read()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has ended: what it knew of the connection leads back to it, and would wait for the collector of cycles."""
        super().on_task_complete(task)
        self.scope.clear()  # type: ignore[attr-defined]  # a dictionary to everybody else
        self.take = None

    def _let_picows_read(self) -> None:
        transport = _Underlying(self.transport)
        reader = WSProtocol(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda _request: self,
            logger=log,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=None,
            auto_ping_reply_timeout=None,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=self.config.ws_max_size,
            extra_headers=None,
            read_buffer_init_size=READ_BYTES,
        )
        reader.connection_made(transport)
        reader.get_buffer(-1)[: len(HANDSHAKE)] = HANDSHAKE
        reader.buffer_updated(len(HANDSHAKE))
        transport.is_mute = False
        self.transport.set_protocol(reader)
        self.transport.resume_reading()

    # --- what picows tells ---

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002  # picows's signature
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "reserved bits must be 0")
        data = frame.get_payload_as_bytes()
        if frame.msg_type == BINARY and frame.fin and self._is_open_for_short_way and self.take(data):  # type: ignore[misc]  # then there is one
            return
        if not self.transport.is_closing():
            self.data_received(Frame(Opcode(frame.msg_type.value), data, bool(frame.fin)).serialize(mask=True))

    @property
    def _is_open_for_short_way(self) -> bool:
        """Whether a message would overtake nothing: none waits, and none is half there."""
        return self.take is not None and self.queue.empty() and self.conn.current_size is None and not self.close_sent

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  # picows's signature
        self.connection_lost(None)

    # --- out ---

    def tell(self, text: str) -> bool:
        """Sends a text message at once, past the application's coroutines. False, with nothing done, where it would wait or nobody hears it."""
        is_over = self.disconnected or self.close_sent or self.transport.is_closing() or self.conn.state is not OPEN
        if is_over or not self.handshake_complete or not self.writable.is_set():
            return False
        self.conn.send_text(text.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True


class _Underlying:
    """The transport as picows has it, which says nothing while ``is_mute``."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self.is_mute = transport, True

    def write(self, data: bytes) -> None:
        if not self.is_mute:
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def connection_of(scope: Mapping[str, Any]) -> ShortWaySocket | None:
    """None where the server knows no short way."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    return extension["connection"] if extension is not None else None
