"""What the platform adds to an engine's time, from the socket to the result message: p50, p95, p99.

    python -m benchmarks.overhead [--sessions 50] [--seconds 20] [--warm-up 20] [--partitions 2] [--mode kafka|embedded|both]

Pass-through engines (``benchmarks.passthrough``): every chunk of 100 ms gives one interim message that says how much audio it covers. Latency is
from sending a chunk to receiving the message that covers it. Over Kafka everything (a broker of its own, gateway, both stages, this client) shares
the machine; the stages are processes of their own. Its peer is a bare relay through the same broker with as many hops (``benchmarks.relay``).
A broker needs about half a minute of load before it is fast, hence the warm-up. A partition of a topic is a request to the broker, so there are no
more of them than the two cores have replicas for. "Stolen" is how much of a core the machine's host gave to other machines while this one had
work: what was stolen in a row is waited for in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from websockets.asyncio.client import connect

from benchmarks import alone
from benchmarks.processes import cores_busy
from benchmarks.report import percentile, print_table, write_json, write_percentiles

RATE_HZ = 16_000
CHUNK = bytes(RATE_HZ // 10 * 2)
CHUNK_S = 0.1
MOST_EMBEDDED = 50


async def _session(url: str, start_at: float, seconds: float, measure_from: float, latencies: list[float]) -> None:
    query = "diarize=false&attributes=false&interim_results=true&vad_enabled=false"
    sent: list[float] = []
    async with connect(f"{url}/ws/v1/transcribe?{query}", compression=None, open_timeout=60) as connection:
        await connection.send(json.dumps({"type": "configure", "config": {"encoding": "linear16", "sample_rate": RATE_HZ}}))

        async def receive() -> None:
            covered = 0
            async for text in connection:
                now = time.perf_counter()
                message = json.loads(text)
                if message["type"] == "closed":
                    return
                if message["type"] == "error":
                    raise RuntimeError(message["error"]["message"])
                if message["type"] != "interim":
                    continue
                until = min(round(message["duration"] / CHUNK_S), len(sent))
                latencies.extend(now - sent[at] for at in range(covered, until) if sent[at] >= measure_from)
                covered = max(covered, until)

        receiving = asyncio.create_task(receive())
        for number in range(int(seconds / CHUNK_S)):
            await asyncio.sleep(max(0.0, start_at + number * CHUNK_S - time.perf_counter()))
            sent.append(time.perf_counter())
            await connection.send(CHUNK)
        await connection.send(json.dumps({"type": "close_stream"}))
        await asyncio.wait_for(receiving, 60)


async def measure(
    url: str, sessions: int, warm_up_s: float, seconds: float, pids: Mapping[str, int] | None = None
) -> tuple[list[float], dict[str, float]]:
    """Latencies in seconds of every chunk after the warm-up, and the cores that these processes kept busy in that time.

    Sessions start spread over one chunk, as callers do.
    """
    latencies: list[float] = []
    start = time.perf_counter() + 2.0
    address = url.replace("http", "ws", 1)
    tasks = [_session(address, start + number * CHUNK_S / sessions, warm_up_s + seconds, start + warm_up_s, latencies) for number in range(sessions)]
    busy, *_ = await asyncio.gather(cores_busy(pids or {}, start + warm_up_s, seconds), *tasks)
    return latencies, busy


MODULES = {name: ("benchmarks.passthrough", name) for name in ("denoise", "transcribe")}
HOPS = 3  # gateway, denoise, transcribe, gateway


async def measure_relay(
    url: str, sessions: int, warm_up_s: float, seconds: float, pids: Mapping[str, int] | None = None
) -> tuple[list[float], dict[str, float]]:
    """The same of the bare relay, whose answers are the chunks themselves."""
    latencies: list[float] = []
    start = time.perf_counter() + 2.0

    async def call(start_at: float) -> None:
        sent: deque[float] = deque()
        async with connect(url, compression=None, open_timeout=60) as connection:

            async def receive() -> None:
                for _ in range(int((warm_up_s + seconds) / CHUNK_S)):
                    await connection.recv()
                    at = sent.popleft()
                    if at >= start + warm_up_s:
                        latencies.append(time.perf_counter() - at)

            receiving = asyncio.create_task(receive())
            for number in range(int((warm_up_s + seconds) / CHUNK_S)):
                await asyncio.sleep(max(0.0, start_at + number * CHUNK_S - time.perf_counter()))
                sent.append(time.perf_counter())
                await connection.send(CHUNK)
            await asyncio.wait_for(receiving, 60)

    calls = (call(start + number * CHUNK_S / sessions) for number in range(sessions))
    busy, *_ = await asyncio.gather(cores_busy(pids or {}, start + warm_up_s, seconds), *calls)
    return latencies, busy


@contextmanager
def embedded() -> Iterator[tuple[str, int]]:
    """The embedded platform with the two pass-through stages in place of the bundled ones: its address and process."""
    with alone.program(["benchmarks.passthrough_embedded"], {"VOXRELAY_LOG_LEVEL": "error"}) as (line, pid):
        yield str(json.loads(line)["url"]), pid


def _figures(mode: str, sessions: int, latencies: list[float]) -> dict[str, Any]:
    ms = [value * 1000 for value in latencies]
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {"mode": mode, "sessions": sessions, "chunks": len(ms)} | {name: round(percentile(ms, share), 2) for name, share in shares.items()}


def _row(figures: Mapping[str, Any]) -> list[Any]:
    busy = figures["cores_busy"]
    delays = (figures[name] for name in ("mode", "sessions", "chunks", "p50_ms", "p95_ms", "p99_ms"))
    return [*delays, round(sum(busy.values()) - busy["stolen"], 2), busy["stolen"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sessions", type=int, nargs="+", default=[10, 50, 200], help="the embedded platform gets those up to 50: it is for a laptop"
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=20.0)
    parser.add_argument("--partitions", type=int, default=2, help="of every topic, the relay's too")
    parser.add_argument("--mode", choices=["kafka", "embedded", "both"], default="both")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    seen: dict[str, dict[int, list[float]]] = {}

    def take(mode: str, sessions: int, latencies: list[float], busy: Mapping[str, float]) -> None:
        seen.setdefault(mode, {})[sessions] = [value * 1000 for value in latencies]
        rows.append(_figures(mode, sessions, latencies) | {"cores_busy": dict(busy)})
        print(json.dumps(rows[-1]), flush=True)

    if arguments.mode in ("kafka", "both"):
        with alone.broker("overhead") as kafka:
            settings = {"VOXRELAY_PARTITIONS": str(arguments.partitions), "VOXRELAY_GATEWAY_MAX_BUSY": "0"}
            with alone.stack("overhead", kafka, ("gateway", *MODULES), settings, MODULES) as running:
                pids = {name: running.pid(name) for name in ("gateway", *MODULES)} | {"broker": alone.broker_pid("overhead"), "client": os.getpid()}
                for sessions in arguments.sessions:
                    take("Kafka", sessions, *asyncio.run(measure(running.url, sessions, arguments.warm_up, arguments.seconds, pids)))
            with alone.relay(kafka, HOPS, arguments.partitions) as (port, pid):
                pids = {"relay": pid, "broker": alone.broker_pid("overhead"), "client": os.getpid()}
                for sessions in arguments.sessions:
                    answered = measure_relay(f"ws://127.0.0.1:{port}", sessions, arguments.warm_up, arguments.seconds, pids)
                    take("bare relay", sessions, *asyncio.run(answered))
    if arguments.mode in ("embedded", "both"):
        with embedded() as (url, pid):
            pids = {"embedded": pid, "client": os.getpid()}
            for sessions in (number for number in arguments.sessions if number <= MOST_EMBEDDED):
                take("embedded", sessions, *asyncio.run(measure(url, sessions, arguments.warm_up, arguments.seconds, pids)))
    columns = ("bus", "sessions", "chunks", "p50 ms", "p95 ms", "p99 ms", "cores busy", "cores stolen")
    print_table("Socket to result message, pass-through engines", columns, [_row(r) for r in rows])
    write_json("overhead", {"partitions": arguments.partitions, "rows": rows})
    write_percentiles("overhead", "Socket to result message, pass-through engines", "ms", seen)


if __name__ == "__main__":
    main()
