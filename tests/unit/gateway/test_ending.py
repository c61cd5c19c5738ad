"""A gateway that is told to end does, whatever its clients do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from services.gateway import server
from services.gateway.server import GatewayServer

pytestmark = pytest.mark.sockets

HANDSHAKE = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WRONG = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"{}"  # a text message that is answered with an error
STUCK_S = 2.0


def test_a_client_that_reads_nothing_does_not_keep_it(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_S", 1)
    gateway = make_gateway()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gateway.port))
        client.sendall(HANDSHAKE)
        client.settimeout(STUCK_S)
        with pytest.raises(TimeoutError):  # until it is not read any more, because it does not read itself
            for _ in range(10_000):
                client.sendall(WRONG * 1000)
        stopping = threading.Thread(target=gateway.stop, daemon=True)
        stopping.start()
        stopping.join(60)
        assert not stopping.is_alive()
