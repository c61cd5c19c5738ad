"""How long people hear nothing while a stage is scaled, restarted or killed.

    python -m benchmarks.recovery [--sessions 20] [--rounds 3]

Real gateway and runners over a real broker (VOXRELAY_KAFKA_BOOTSTRAP), pass-through engines: every chunk of 100 ms brings a message, so a
silence is seen to 0.1 s. For each change the longest silence of every session is taken; the median and the longest of all are told. The
same without any change is the measure of the machine's own noise. For a killed stage also: from its new process answering /ready, and
from its launch, until every session has its next message.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from local_services.stack import Stack  # local_services lies in scripts/

from benchmarks.report import print_table, write_bars, write_json

CHUNK_S = 0.1
RATE_HZ = 16_000
SETTLE_S = 6.0  # watched after each change
MODULES = {name: ("benchmarks.passthrough", name) for name in ("denoise", "transcribe")}
REPLICAS = 3


@dataclass
class Caller:
    """When its messages came, by time.monotonic."""

    came: list[float] = field(default_factory=list)

    def silence_s(self, since: float, until: float) -> float:
        """The longest between two messages in this time, its ends counted as messages."""
        times = [since, *(at for at in self.came if since < at < until), until]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def back_at(self, since: float, until: float) -> float:
        """The end of its longest silence in this time."""
        times = [since, *(at for at in self.came if since < at < until), until]
        return max(itertools.pairwise(times), key=lambda pair: pair[1] - pair[0])[1]


async def call(url: str, caller: Caller, stop: asyncio.Event) -> None:
    address = f"{url.replace('http', 'ws', 1)}/ws/v1/transcribe?sample_rate={RATE_HZ}&diarize=false&attributes=false"
    chunk = bytes(int(RATE_HZ * CHUNK_S) * 2)
    async with connect(address, compression=None, open_timeout=60) as connection:

        async def send() -> None:
            begin, number = time.monotonic(), 0
            while not stop.is_set():
                number += 1
                await connection.send(chunk)
                await asyncio.sleep(max(0.0, begin + number * CHUNK_S - time.monotonic()))
            await connection.send(json.dumps({"type": "close_stream"}))

        sending = asyncio.create_task(send())
        async for text in connection:
            kind = json.loads(text)["type"]
            if kind == "error":
                raise RuntimeError(text)
            caller.came.append(time.monotonic())
            if kind == "closed":
                break
        await sending


class Stage:
    """One service and its further replicas, as stacks of their own."""

    def __init__(self, name: str, stacks: list[Stack]) -> None:
        self._name, self._stacks = name, stacks

    def nothing(self) -> None:
        time.sleep(SETTLE_S)

    def scale_up(self) -> None:
        for stack in self._stacks[1:]:
            stack.start(self._name)
        for stack in self._stacks[1:]:
            stack.wait_ready(self._name)

    def scale_down(self) -> None:
        for stack in self._stacks[1:]:
            stack.stop(self._name)

    def restart(self) -> None:
        self._stacks[0].stop(self._name)
        self._stacks[0].start(self._name)
        self._stacks[0].wait_ready(self._name)

    def kill(self) -> tuple[float, float]:
        """When it was launched again, and when it was ready."""
        self._stacks[0].kill(self._name)
        launched = time.monotonic()
        self._stacks[0].start(self._name)
        self._stacks[0].wait_ready(self._name)
        return launched, time.monotonic()


async def measure(stacks: list[Stack], sessions: int, rounds: int) -> list[dict[str, Any]]:
    stop, callers = asyncio.Event(), [Caller() for _ in range(sessions)]
    calling = [asyncio.create_task(call(stacks[0].url, caller, stop)) for caller in callers]
    while not all(len(caller.came) > 20 for caller in callers):
        await asyncio.sleep(0.1)
        for task in calling:
            if task.done():
                task.result()
    figures: list[dict[str, Any]] = []
    for name in MODULES:
        stage = Stage(name, stacks)
        changes: list[tuple[str, Callable[[], Any]]] = [
            ("nothing", stage.nothing),
            ("1 to 3 replicas", stage.scale_up),
            ("3 to 1 replicas", stage.scale_down),
            ("SIGTERM, started again", stage.restart),
            ("kill -9, started again", stage.kill),
        ]
        for _ in range(rounds):
            for what, change in changes:
                since = time.monotonic()
                back = await asyncio.to_thread(change)
                await asyncio.sleep(SETTLE_S)
                figures.append(_figures(name, what, callers, since, back))
    stop.set()
    await asyncio.gather(*calling)
    return figures


def _figures(stage: str, what: str, callers: list[Caller], since: float, back: tuple[float, float] | None) -> dict[str, Any]:
    silences = [caller.silence_s(since, time.monotonic()) for caller in callers]
    found: dict[str, Any] = {"stage": stage, "what": what, "silence_p50_s": statistics.median(silences), "silence_most_s": max(silences)}
    if back is not None:
        launched, ready = back
        again = max(caller.back_at(since, time.monotonic()) for caller in callers)
        found |= {"after_launch_s": again - launched, "after_ready_s": max(0.0, again - ready)}
    print(f"  {stage}: {what}: longest silence {found['silence_most_s']:.2f} s", file=sys.stderr, flush=True)
    return found


def _row(stage: str, what: str, found: list[dict[str, Any]]) -> list[str]:
    def worst(name: str) -> str:
        return f"{max(one[name] for one in found):.2f}" if name in found[0] else ""

    median = statistics.median(one["silence_p50_s"] for one in found)
    return [stage, what, f"{median:.2f}", worst("silence_most_s"), worst("after_launch_s"), worst("after_ready_s")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stacks = []
        for number in range(REPLICAS):
            names = ("gateway", *MODULES) if number == 0 else tuple(MODULES)
            settings = {"VOXRELAY_GATEWAY_MAX_LAG_S": "600", "VOXRELAY_GATEWAY_MAX_BUSY": "0", "VOXRELAY_LANES": '["live"]'}
            stacks.append(Stack(Path(folder) / str(number), settings, names, MODULES, number))
        try:
            stacks[0].prepare()
            stacks[0].start()
            stacks[0].wait_ready()
            figures = asyncio.run(measure(stacks, arguments.sessions, arguments.rounds))
        finally:
            for stack in reversed(stacks):
                stack.stop()
    kinds = dict.fromkeys((one["stage"], one["what"]) for one in figures)
    rows = [_row(*kind, [one for one in figures if (one["stage"], one["what"]) == kind]) for kind in kinds]
    title = f"{arguments.sessions} sessions, {arguments.rounds} times: seconds without a message"
    print_table(title, ["stage", "change", "median", "longest", "kill: from launch", "from ready"], rows)
    write_json("recovery", {"sessions": arguments.sessions, "rounds": arguments.rounds, "figures": figures})
    silences = [("median", 2), ("longest", 3)]
    write_bars("recovery", "seconds without a message", {f"{row[0]}: {row[1]}": {name: float(row[at]) for name, at in silences} for row in rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
