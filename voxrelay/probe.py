"""The small HTTP server of a stage: /health (alive), /ready (every dependency answers), /metrics (Prometheus)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Checks = Mapping[str, Callable[[], str | None]]

_OK = "ok"


def ask(checks: Checks) -> dict[str, str]:
    """Each check's answer: "ok", "ok: " and what is worth knowing all the same, or the sentence it failed with."""
    answers = {}
    for name, check in checks.items():
        try:
            remark = check()
            answers[name] = f"{_OK}: {remark}" if remark else _OK
        except Exception as error:
            answers[name] = str(error) or type(error).__name__
    return answers


def is_ready(answers: Mapping[str, str]) -> bool:
    """Whether nothing failed of what ``ask`` asked."""
    return all(answer == _OK or answer.startswith(f"{_OK}: ") for answer in answers.values())


class Probe:
    """Serves on its own threads from construction until ``close``."""

    def __init__(self, host: str, port: int, checks: Checks) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/health":
                    self._answer(200, b'{"status":"alive"}', "application/json")
                elif self.path == "/ready":
                    answers = ask(checks)
                    status = 200 if is_ready(answers) else 503
                    self._answer(status, json.dumps(answers).encode(), "application/json")
                elif self.path == "/metrics":
                    self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
                else:
                    self._answer(404, b'{"error":"there are /health, /ready and /metrics"}', "application/json")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Probes come every few seconds: not worth a line."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="probe", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
