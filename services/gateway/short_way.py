"""uvicorn's WebSocket with a short way for audio, and one for what is said about it (docs/adr/0011).

Between the socket and the application ASGI puts a queue, a change of tasks, and a stop and a restart of reading, for every message. Speech comes in
small messages, ten a second and more from each client, and nearly all of them can be passed on at once: those take the short way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import OPEN

EXTENSION = "voxrelay.short_way"  # under which an application finds the connection in its scope


class ShortWaySocket(WebSocketsSansIOProtocol):
    """While ``take`` is set and nothing waits in the queue, it is given each binary message of one frame.

    One for which it gives False goes the ordinary way. It is called on the event loop, in the order of the messages, and must not raise.
    """

    take: Callable[[bytes], bool] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # then the handshake was one
            self.scope["extensions"][EXTENSION] = {"connection": self}

    def handle_bytes(self, event: Frame) -> None:
        is_whole = event.fin and not self.close_sent
        if self.take is None or not is_whole or not self.queue.empty() or not self.take(event.data):  # type: ignore[arg-type]  # bytes, from a parser
            super().handle_bytes(event)

    def tell(self, text: str) -> bool:
        """Sends a text message at once, past the application's coroutines. False, with nothing done, where it would wait or nobody hears it."""
        is_over = self.disconnected or self.close_sent or self.transport.is_closing() or self.conn.state is not OPEN
        if is_over or not self.handshake_complete or not self.writable.is_set():
            return False
        self.conn.send_text(text.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True


def connection_of(scope: Mapping[str, Any]) -> ShortWaySocket | None:
    """None where the server knows no short way."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    return extension["connection"] if extension is not None else None
