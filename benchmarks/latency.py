"""How soon people read what they say, with the bundled engines: first interim, and from the end of speech to its final.

    python -m benchmarks.latency [--mode embedded|kafka|both] [--sessions 1 2]

Real speech in real time, a 100 ms chunk each 100 ms. The first interim counts from the sending of the chunk in which speech begins (by the
platform's own boundary). A final counts from the sending of the chunk with the utterance's last word: the pause that ends it (500 ms
unless a session asks for another) is in it, for that is what a person waits. ``after the pause`` is without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks import alone
from benchmarks.report import DATA, OUT, percentile, print_table, write_json, write_shares
from evaluation.items import read_pcm

CHUNK_S = 0.1
PAUSE_S = 0.5
REPOSITORY = Path(__file__).resolve().parent.parent
CLIPS = ("1688-142285-0000.flac", "3005-163389-0001.flac", "1688-142285-0003.flac", "3005-163389-0000.flac")
SETTINGS = {"VOXRELAY_GATEWAY_MAX_BUSY": "0"}  # who is asked for is measured, also beyond what a gateway would take


@dataclass
class Waits:
    """Seconds."""

    interims: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)


async def call(url: str, pcm: bytes, rate_hz: int, waits: Waits) -> None:
    """One caller; waits are added as they are known."""
    sent: list[float] = []

    def since(at_s: float) -> float:
        return time.perf_counter() - sent[min(int(at_s / CHUNK_S), len(sent) - 1)]

    started: dict[str, float] = {}
    async with connect(f"{url.replace('http', 'ws', 1)}/ws/v1/transcribe?sample_rate={rate_hz}", compression=None, open_timeout=60) as connection:

        async def receive() -> None:
            async for text in connection:
                message = json.loads(text)
                if message["type"] == "speech_started":
                    started[message["utterance_id"]] = message["start"]
                elif message["type"] == "interim" and message["utterance_id"] in started:
                    waits.interims.append(since(started.pop(message["utterance_id"])))
                elif message["type"] == "final" and message["words"]:
                    waits.finals.append(since(message["words"][-1]["end"]))
                elif message["type"] == "closed":
                    return

        receiving = asyncio.create_task(receive())
        begin, size = time.perf_counter(), int(rate_hz * CHUNK_S) * 2
        for number, at in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(max(0.0, begin + number * CHUNK_S - time.perf_counter()))
            sent.append(time.perf_counter())
            await connection.send(pcm[at : at + size])
        await connection.send(json.dumps({"type": "close_stream"}))
        await asyncio.wait_for(receiving, 120)


async def measure(url: str, calls: list[tuple[bytes, int]], sessions: int) -> Waits:
    """``sessions`` callers at a time, each speaking all clips one after another with a pause behind each."""
    waits = Waits()

    async def caller(first: int) -> None:
        for number in range(len(calls)):
            pcm, rate_hz = calls[(first + number) % len(calls)]
            await call(url, pcm + bytes(rate_hz * 2), rate_hz, waits)

    await asyncio.gather(*(caller(number) for number in range(sessions)))
    return waits


@contextmanager
def embedded() -> Iterator[str]:
    with alone.embedded(SETTINGS) as (url, _):
        yield url


@contextmanager
def over_kafka() -> Iterator[str]:
    from local_services.stack import Stack

    stack = Stack(OUT / "latency-stack", SETTINGS)
    stack.prepare()
    stack.start()
    try:
        stack.wait_ready()
        yield stack.url
    finally:
        stack.stop()


def _figures(mode: str, sessions: int, waits: Waits) -> dict[str, Any]:
    figures: dict[str, Any] = {"mode": mode, "sessions": sessions, "interims": len(waits.interims), "finals": len(waits.finals)}
    for name, values in (("interim", waits.interims), ("final", waits.finals), ("after_pause", [wait - PAUSE_S for wait in waits.finals])):
        for share in (0.5, 0.95):
            figures[f"{name}_p{share * 100:.0f}_ms"] = round(percentile(values, share) * 1000)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["embedded", "kafka", "both"], default="both")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation speech")
    arguments = parser.parse_args()
    if arguments.mode != "embedded" and "VOXRELAY_KAFKA_BOOTSTRAP" not in os.environ:
        parser.error("VOXRELAY_KAFKA_BOOTSTRAP is not set. Start the services first (scripts/services start), or measure with --mode embedded.")
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    folder = arguments.data / "asr" / "librispeech-test-other"
    calls = [read_pcm(folder / name) for name in CLIPS if (folder / name).is_file()]
    if not calls:
        raise SystemExit(f"There is no speech in {folder}: say where with --data.")
    rows = []
    for mode, platform in (("embedded", embedded), ("kafka", over_kafka)):
        if arguments.mode in (mode, "both"):
            with platform() as url:
                asyncio.run(measure(url, calls[:1], 1))  # a warm broker, decoders that are there
                for sessions in arguments.sessions:
                    rows.append(_figures(mode, sessions, asyncio.run(measure(url, calls, sessions))))
    columns = ("bus", "callers", "first interim p50", "p95", "final p50", "p95", "after the pause p50", "p95")
    names = ("mode", "sessions", "interim_p50_ms", "interim_p95_ms", "final_p50_ms", "final_p95_ms", "after_pause_p50_ms", "after_pause_p95_ms")
    print_table("Bundled engines, real speech in real time, ms", columns, [[row[name] for name in names] for row in rows])
    write_json("latency", {"rows": rows})
    lines = {
        f"{mode}, {what.replace('_', ' ')} p{share}": [(row["sessions"], row[f"{what}_p{share}_ms"]) for row in rows if row["mode"] == mode]
        for mode in dict.fromkeys(row["mode"] for row in rows)
        for what in ("interim", "final")
        for share in (50, 95)
    }
    write_shares("latency", "callers at a time", "ms", lines)


if __name__ == "__main__":
    main()
