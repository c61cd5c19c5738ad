"""An OpenTelemetry collector of a few lines: takes OTLP over HTTP on loopback and keeps the spans for a test to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One span; ids in hexadecimal, times in seconds since the epoch. ``service`` sent it, ``part`` of the topology made it."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    part: str
    name: str
    start_s: float
    end_s: float
    attributes: dict[str, str]
    links: tuple[tuple[str, str], ...]


class Collector:
    """Listens from construction until ``close``."""

    def __init__(self) -> None:
        spans: list[Seen] = []
        self.spans = spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                assert self.headers["Content-Encoding"] in (None, "identity")
                spans.extend(_spans(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Not worth a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, trace_id: str) -> list[Seen]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def edges_of(self, trace_id: str) -> set[tuple[str, str]]:
        """Parts whose spans continue another part's."""
        by_id = {span.span_id: span for span in self.of(trace_id)}
        pairs = {(by_id[span.parent_id].part, span.part) for span in by_id.values() if span.parent_id in by_id}
        return {(parent, child) for parent, child in pairs if parent != child}

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, sorted({(span.part, span.name) for span in self.spans})
            time.sleep(0.1)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _spans(body: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest.FromString(body)
    found = []
    for resource in request.resource_spans:
        service = next(pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = {pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes}
                links = tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links)
                times = (span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9)
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                found.append(Seen(*ids, service, attributes["voxrelay.part"], span.name, *times, attributes, links))
    return found
