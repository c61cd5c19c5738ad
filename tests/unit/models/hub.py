"""A small server on loopback that keeps Hugging Face's contract: resolve addresses, a redirect to the files, ranges, gates."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Hub:
    """``files`` by (repository, revision, path). ``cut_after``: so many bytes, then the connection ends; once for each entry."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.gated: set[str] = set()
        self.token = "hub-token"
        self.cut_after: list[int] = []
        self.ranges: list[str | None] = []  # of the requests for the files themselves
        self.keys_at_storage: list[str | None] = []
        self.can_resume = True
        self.url = ""

    def find(self, path: str) -> tuple[tuple[str, str, str], bytes] | None:
        for key, content in self.files.items():
            if path == f"/{key[0]}/resolve/{key[1]}/{key[2]}":
                return key, content
        return None


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(self.path)
            if path.startswith("/storage/"):
                self._storage(path.removeprefix("/storage"))
                return
            found = hub.find(path)
            if found is None:
                self._end(404)
            elif found[0][0] in hub.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._end(401, ("X-Error-Code", "GatedRepo"))
            else:  # to another host, as the hub does
                self._end(302, ("Location", f"http://localhost:{self.server.server_address[1]}/storage{self.path}"))

        def _storage(self, path: str) -> None:
            found = hub.find(path)
            assert found is not None
            hub.ranges.append(self.headers.get("Range"))
            hub.keys_at_storage.append(self.headers.get("Authorization"))
            content, begin = found[1], 0
            if hub.can_resume and (asked := self.headers.get("Range")):
                begin = int(asked.removeprefix("bytes=").removesuffix("-"))
                if begin >= len(content):
                    self._end(416)
                    return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            if hub.cut_after:
                self.wfile.write(content[begin : begin + hub.cut_after.pop(0)])
                self.wfile.flush()
                self.connection.close()
                self.close_connection = True
            else:
                self.wfile.write(content[begin:])

        def _end(self, status: int, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
