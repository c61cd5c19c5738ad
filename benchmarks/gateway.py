"""One gateway process on one core: live sessions of 100 ms chunks against the time to the broker's acknowledgement, memory and CPU.

    python -m benchmarks.gateway [--sessions 50 200 500 1000 2000] [--seconds 15] [--warm-up 10]

A real broker of its own; no stage runs, so nothing comes back. The gateway has the first core for itself, the broker and this client share the
others. The client writes frames made beforehand into plain sockets: it is no limit. Acknowledgement is from the gateway's own histogram, which
begins when a chunk has been read and ends in the producer's delivery report; percentiles are interpolated within its buckets. The peer is a bare
server of the same library that only produces (``benchmarks.relay``).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import resource
import secrets
import selectors
import socket
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import alone
from benchmarks.processes import cpu_s, memory_mb
from benchmarks.report import print_table, write_json, write_shares

RATE_HZ = 16_000
CHUNK_S = 0.1
FIRST_CORE = 0
CHUNK = bytes(int(RATE_HZ * CHUNK_S) * 2)
ADDRESS = f"/ws/v1/transcribe?encoding=linear16&sample_rate={RATE_HZ}&diarize=false&attributes=false"
BUCKET = re.compile(r'^voxrelay_publish_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


def frame(payload: bytes) -> bytes:
    """A masked binary WebSocket message (RFC 6455) with a mask of zeros: the payload as it is."""
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


class Callers:
    """Sessions on plain sockets; whatever the gateway says is read and dropped."""

    def __init__(self, port: int, count: int, greeting: bytes = b'"session_id"') -> None:
        """``greeting``: what the server has said when a session is open."""
        self._frame, self._greeting = frame(CHUNK), greeting
        self._selector = selectors.DefaultSelector()
        self._sockets = [self._call(port) for _ in range(count)]
        self.late_s = 0.0

    def _call(self, port: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        head = f"GET {ADDRESS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        answer = b""
        while self._greeting not in answer:
            more = connection.recv(65536)
            if not more:
                raise RuntimeError(f"the gateway refused: {answer[:300]!r}")
            answer += more
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def speak(self, seconds: float) -> None:
        """Every session one chunk each 100 ms, spread over the 100 ms. ``late_s`` is how far this client fell behind at worst."""
        start = time.perf_counter()
        step_s = CHUNK_S / len(self._sockets)
        number = 0
        self.late_s = 0.0
        while (due := start + number * step_s) < start + seconds:
            now = time.perf_counter()
            if due > now:
                time.sleep(due - now)
            else:
                self.late_s = max(self.late_s, now - due)
            for _ in range(max(1, len(self._sockets) // 200)):  # a few at once: sleeping has a price of its own
                self._sockets[number % len(self._sockets)].sendall(self._frame)
                number += 1
            if number % 500 == 0:
                self._drop_what_came()

    def _drop_what_came(self) -> None:
        for ready, _ in self._selector.select(0):
            ready.fileobj.recv(65536)  # type: ignore[union-attr]  # sockets alone are registered

    def hang_up(self) -> None:
        for connection in self._sockets:
            connection.close()
        self._selector.close()


SETTINGS = {
    "VOXRELAY_GATEWAY_MAX_SESSIONS": "5000",
    "VOXRELAY_GATEWAY_MAX_LAG_S": "1000000",  # no stage runs: every result is late
    "VOXRELAY_GATEWAY_RESUME_S": "0",
    "VOXRELAY_GATEWAY_DRAIN_S": "0",
}


def leave_first_core() -> None:
    """This process, and what it starts, has the other cores."""
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {FIRST_CORE} or {FIRST_CORE})


def give_first_core(pid: int) -> None:
    """This process has the first core for itself."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {FIRST_CORE})


def histogram(url: str) -> list[tuple[float, float]]:
    """Upper bounds in seconds and how many chunks were acknowledged within them."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310  # our own gateway
        return [(float(bound), float(count)) for bound, count in BUCKET.findall(answer.read().decode())]


def share_within(before: list[tuple[float, float]], after: list[tuple[float, float]], share: float) -> float:
    """The time in seconds within which this share was acknowledged, interpolated inside its bucket."""
    counts = [(bound, late - early) for (bound, late), (_, early) in zip(after, before, strict=True)]
    wanted = share * counts[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / max(1.0, count - below)
        lower, below = bound, count
    return lower


def measure(stack: Any, sessions: int, warm_up_s: float, seconds: float) -> dict[str, Any]:
    callers = Callers(stack.port, sessions)
    pid = stack.pid("gateway")
    try:
        callers.speak(warm_up_s)
        pids = {"gateway": pid, "broker": alone.broker_pid("gateway"), "client": os.getpid()}
        before, used, started = histogram(stack.url), {name: cpu_s(at) for name, at in pids.items()}, time.perf_counter()
        callers.speak(seconds)
        wall_s = time.perf_counter() - started
        busy = {name: (cpu_s(at) - used[name]) / wall_s for name, at in pids.items()}
        late_s = callers.late_s
        time.sleep(1.0)
        after = histogram(stack.url)
        chunks = after[-1][1] - before[-1][1]
        times = {f"p{int(share * 100)}_ms": round(share_within(before, after, share) * 1000, 1) for share in (0.5, 0.95, 0.99)}
        expected = sessions * seconds / CHUNK_S
        return {
            "sessions": sessions,
            "acknowledged_share": round(chunks / expected, 3),
            **times,
            "cpu_share": round(busy["gateway"], 2),
            "others_share": round(busy["broker"] + busy["client"], 2),
            "memory_mb": round(memory_mb(pid)),
            "client_late_ms": round(late_s * 1000, 1),
        }
    finally:
        callers.hang_up()
        time.sleep(2.0)


def measure_bare(kafka: Mapping[str, str], sessions: int, warm_up_s: float, seconds: float) -> float:
    """The share of the core that the same library takes to put the same chunks on Kafka, without a platform: no events, limits, keys or measures."""
    with alone.relay(kafka, hops=0) as (port, pid):
        callers = Callers(port, sessions, b"\r\n\r\n")
        try:
            give_first_core(pid)
            callers.speak(warm_up_s)
            used, started = cpu_s(pid), time.perf_counter()
            callers.speak(seconds)
            return (cpu_s(pid) - used) / (time.perf_counter() - started)
        finally:
            callers.hang_up()


COLUMNS = {
    "sessions": "sessions",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "cpu_share": "core busy",
    "bare_share": "bare server",
    "others_share": "broker and client",
    "memory_mb": "memory MB",
    "acknowledged_share": "acknowledged",
    "client_late_ms": "client late ms",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[50, 200, 500, 1000, 2000])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    rows = []
    leave_first_core()
    with alone.broker("gateway") as kafka:
        with alone.stack("gateway", kafka, ("gateway",), SETTINGS) as stack:
            give_first_core(stack.pid("gateway"))
            for sessions in arguments.sessions:
                rows.append(measure(stack, sessions, arguments.warm_up, arguments.seconds))
                print(json.dumps(rows[-1]), flush=True)
        for row in rows:
            row["bare_share"] = round(measure_bare(kafka, row["sessions"], arguments.warm_up, arguments.seconds), 2)
    table = [[row[name] for name in COLUMNS] for row in rows]
    print_table("Receipt of a chunk to the broker's acknowledgement, one gateway process on one core", list(COLUMNS.values()), table)
    write_json("gateway", {"rows": rows})
    lines = {name: [(row["sessions"], row[f"{name}_ms"]) for row in rows] for name in ("p50", "p95", "p99")}
    write_shares("gateway", COLUMNS["sessions"], "ms to the acknowledgement", lines)


if __name__ == "__main__":
    main()
