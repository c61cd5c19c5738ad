"""A connection between a client and the gateway that can break in the middle."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Cable:
    """Bytes go both ways until it is cut; whoever connects again has a new connection, unless the line is down."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._lost: set[socket.socket] = set()
        self.is_down = False
        self.is_deaf = False  # of what is sent over new connections only the first piece, the request, arrives
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self.is_down:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink, self.is_deaf and source is near), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_deaf: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._lost:
                    sink.sendall(data)
                if is_deaf:
                    self._lost.add(source)
            sink.shutdown(socket.SHUT_WR)

    def swallow(self) -> None:
        """What is sent over the connections of this moment still leaves, and never arrives."""
        self._lost.update(self._ends)

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.cut()
