"""A new version of everything under live calls: all services restarted one after another, and what callers notice of it.

    python -m benchmarks.rolling [--sessions 50] [--call-seconds 20] [--drain 60] [--warm-up 60]
    python -m benchmarks.rolling --call-seconds 0 --drain 2

Two processes of each service on the way of a live call, over real Kafka; one of the others. Each is stopped (SIGTERM), started
and waited for, alone. There are always so many calls; whoever hangs up is followed by another caller, at a gateway that takes calls. A gateway
that ends lets its calls finish for ``--drain`` seconds, as the chart has it. With ``--call-seconds 0`` calls last until all
have been restarted, and those that are cut go on at the other gateway. Calls ask for words
only; their audio is not kept, as an object for every second of every call is more than any real load. denoise and transcribe are
scripted: every second is an utterance, and its word is a digest of its samples, so that a sample lost, doubled or misplaced
anywhere shows. A final's delay counts from the feeding of the utterance's last chunk to its arrival at
the client; those of the first ``--warm-up`` seconds do not count, as a Java broker is slow while it is young.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.report import percentile, print_table, write_json, write_percentiles
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.cli.live import PASSING, LiveCall, Refusal

CHUNK_S = 0.1
SECOND_BYTES = SAMPLE_RATE_HZ * 2
SETTLE_S = 5.0
PATIENCE_S = 120.0
MODULES = {name: ("tests.e2e.scripted_services", name) for name in ("denoise", "transcribe")}
ON_THE_WAY = ("denoise", "transcribe", "projector", "gateway")  # two of each; a new version's gateways come last
BESIDE = ("diarize", "classify", "synth")


@dataclass
class Caller:
    """One live call and what came of it."""

    number: int
    make_call: Callable[[], LiveCall]
    fed: bytearray = field(default_factory=bytearray)
    fed_at: list[float] = field(default_factory=list)  # of each whole second
    finals: list[tuple[float, float, str]] = field(default_factory=list)  # when it came, its delay, its word
    session_id: str = ""
    error: str = ""
    retry_after_s: float = 0.0
    connections: int = 0
    is_closed: bool = False

    async def call(self, over: asyncio.Event, seconds: float) -> None:
        """Until it is over, or for so many seconds. Who is refused for now calls once more when told to; another gateway may answer."""
        while not self.session_id:
            self.error, self.retry_after_s, self._answered = "", 0.0, asyncio.Event()
            self.live = self.make_call()
            talking = asyncio.create_task(self._talk(over, seconds))
            await self._listen()
            self._answered.set()
            self.connections += self.live.connections
            await talking
            if self.error not in PASSING:
                return
            await asyncio.sleep(self.retry_after_s)

    async def _talk(self, over: asyncio.Event, seconds: float) -> None:
        await self._answered.wait()
        noise, size = random.Random(self.number), int(SAMPLE_RATE_HZ * CHUNK_S) * 2
        begun, chunks = time.monotonic(), 0
        while self.session_id and not self.error:
            is_whole_second = bool(self.fed) and len(self.fed) % SECOND_BYTES == 0
            if is_whole_second and (over.is_set() or 0 < seconds <= chunks * CHUNK_S):
                break
            await asyncio.sleep(max(0.0, begun + chunks * CHUNK_S - time.monotonic()))
            chunk = noise.randbytes(size)
            self.fed += chunk
            chunks += 1
            if len(self.fed) % SECOND_BYTES == 0:
                self.fed_at.append(time.monotonic())
            await self.live.feed(chunk)
        self.live.finish()

    async def _listen(self) -> None:
        try:
            async for message in self.live.messages():
                self._take(message)
        except (OSError, TimeoutError, Refusal) as error:
            self.error = str(error) or type(error).__name__

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "session":
            self.session_id = message["session_id"]
            self._answered.set()
        elif message["type"] == "final":
            now = time.monotonic()
            self.finals.append((now, now - self.fed_at[round(message["end"]) - 1], message["transcript"]))
        elif message["type"] == "error":
            self.error, self.retry_after_s = message["error"]["code"], message["error"].get("retry_after", 0.0)
        elif message["type"] == "closed":
            self.is_closed = True

    @property
    def is_whole(self) -> bool:
        """Whether it heard the word of every second, once, in order, and was closed properly."""
        words = [hashlib.sha256(self.fed[at : at + SECOND_BYTES]).hexdigest()[:16] for at in range(0, len(self.fed), SECOND_BYTES)]
        return self.is_closed and [word for _, _, word in self.finals] == words


class Span(NamedTuple):
    """What was under way, and how much of the machine was at work in that time (0 to 1)."""

    name: str
    begun: float
    ended: float
    busy: float


class Watch:
    """From its making to ``span``."""

    def __init__(self) -> None:
        self._begun, self._work = time.monotonic(), _machine_work()

    def span(self, name: str) -> Span:
        busy, total = (now - before for now, before in zip(_machine_work(), self._work, strict=True))
        return Span(name, self._begun, time.monotonic(), busy / total if total else 0.0)


def _machine_work() -> tuple[float, float]:
    """Ticks of all cores since the machine started: at work, and in all."""
    ticks = [float(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


async def roll(stacks: list[Any], spans: list[Span]) -> None:
    """Everything once; when each was under way goes into ``spans``."""
    for name in (*BESIDE, *ON_THE_WAY):
        for stack in stacks:
            if name in stack.services:
                watch = Watch()
                await asyncio.to_thread(stack.stop, name)
                stack.restart(name)
                await asyncio.to_thread(stack.wait_ready, name)
                await asyncio.sleep(SETTLE_S)
                spans.append(watch.span(name))


async def measure(stacks: list[Any], sessions: int, call_seconds: float, warm_up_s: float) -> tuple[list[Caller], list[Span]]:
    addresses = [stack.url.replace("http", "ws", 1) for stack in stacks]
    chance = random.Random(1)
    words_only = {"diarize": "false", "attributes": "false", "keep_audio": "false"}
    callers: list[Caller] = []
    over = asyncio.Event()

    def make_call() -> LiveCall:
        return LiveCall(lambda: chance.choice(addresses), SAMPLE_RATE_HZ, parameters=words_only, patience_s=PATIENCE_S)

    async def keep_calling() -> None:
        while not over.is_set():
            callers.append(Caller(len(callers), make_call))
            await callers[-1].call(over, chance.uniform(0.5, 1.5) * call_seconds)

    tasks = [asyncio.create_task(keep_calling()) for _ in range(sessions)]
    await asyncio.sleep(warm_up_s)
    watch = Watch()
    await asyncio.sleep(2 * SETTLE_S)
    spans = [watch.span("before")]
    await roll(stacks, spans)
    over.set()
    await asyncio.gather(*tasks)
    return callers, spans


def kept(url: str, callers: list[Caller]) -> int:
    """Calls that are stored as complete, with every utterance; the projector may need a moment."""
    complete: set[str] = set()
    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() < deadline and len(complete) < len(callers):
            for caller in callers:
                if caller.session_id and caller.session_id not in complete:
                    stored = client.get(f"/api/sessions/{caller.session_id}").json()
                    if stored.get("session", {}).get("is_complete") and len(stored["utterances"]) == len(caller.fed) // SECOND_BYTES:
                        complete.add(caller.session_id)
            time.sleep(0.5)
    return len(complete)


def _row(name: str, delays: list[float], spans: list[Span]) -> list[Any]:
    figures = [round(percentile(delays, share) * 1000) if delays else "" for share in (0.5, 0.99, 1.0)]
    busy = [span.busy for span in spans if name in (span.name, "all")]
    return [name, len(delays), *figures, f"{sum(busy) / len(busy):.0%}" if busy else ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--call-seconds", type=float, default=20.0, help="length of a call, give or take a half; 0: until the end")
    parser.add_argument("--drain", type=float, default=60.0, help="seconds a gateway that ends leaves its calls; then they go on at the other one")
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before anything counts or is restarted")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
    from local_services.stack import Stack

    environment = {"VOXRELAY_GATEWAY_RESUME_S": "60", "VOXRELAY_GATEWAY_MAX_BUSY": "0", "VOXRELAY_GATEWAY_DRAIN_S": str(arguments.drain)}
    with tempfile.TemporaryDirectory(prefix="voxrelay-rolling-") as folder:
        first = Stack(Path(folder) / "first", environment, (*BESIDE, *ON_THE_WAY), MODULES, replica=None)
        second = Stack(Path(folder) / "second", environment, ON_THE_WAY, MODULES, replica=None)
        first.prepare()
        try:
            for stack in (first, second):
                stack.start()
                stack.wait_ready()
            callers, spans = asyncio.run(measure([first, second], arguments.sessions, arguments.call_seconds, arguments.warm_up))
            complete = kept(first.url, callers)
        finally:
            second.stop()
            first.stop()
    by_service: dict[str, list[float]] = defaultdict(list)
    for caller in callers:
        for came, delay, _ in caller.finals:
            if came < spans[0].begun:
                continue
            by_service[next((span.name for span in spans if span.begun <= came < span.ended), "after")].append(delay)
    everything = [delay for delays in by_service.values() for delay in delays]
    rows = [_row(name, by_service[name], spans) for name in ("before", *BESIDE, *ON_THE_WAY, "after")] + [_row("all", everything, spans)]
    print_table(
        f"{arguments.sessions} live calls at a time while everything is restarted: delay of finals, ms",
        ("under way", "finals", "p50", "p99", "longest", "machine busy"),
        rows,
    )
    whole = sum(caller.is_whole for caller in callers)
    connections = sum(caller.connections for caller in callers)
    print(f"\n{whole} of {len(callers)} calls heard every word once and in order; {complete} are stored whole; {connections} connections in all.")
    for caller in callers:
        if not caller.is_whole:
            print(f"  call {caller.number}: {len(caller.finals)} finals of {len(caller.fed) // SECOND_BYTES}, {caller.error or 'no error'}")
    write_json("rolling", {"sessions": len(callers), "whole": whole, "stored": complete, "connections": connections, "rows": rows})
    delays = {name: {arguments.sessions: [delay * 1000 for delay in found]} for name, found in by_service.items() if found}
    write_percentiles("rolling", "End of an utterance to its final, under way", "ms", delays)
    raise SystemExit(0 if whole == complete == len(callers) else 1)


if __name__ == "__main__":
    main()
