"""What the people who speak already notice of twice as many callers as the platform carries, and of files beside them.

    python -m benchmarks.overload [--most N] [--share 0.7] [--files 4] [--seconds 25] [--rounds 3] [--mode kafka|embedded]

The bundled engines and real speech. First more and more people call until finals are late (``--most`` gives their number instead); ``--share`` of
the most speak from then on without a break. Beside them come, in turn: nobody, files (``--files`` at a time, one after the other), so many more
callers that it would be twice the most (who is refused calls again after a second), and both at once; and so again, ``--rounds`` times, as what
a machine does in a minute it may not do in the next. A final's delay counts from the sending of the newest audio it covers, with the pause that
ended it. What is beside them is stopped and heard out between two turns.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import httpx

from benchmarks import alone
from benchmarks.bulk import strung_together
from benchmarks.processes import Watch
from benchmarks.report import DATA, OUT, percentile, print_table, write_json, write_percentiles
from benchmarks.soak.calls import Load
from benchmarks.soak.capacity import capacity

SERVICES = ("gateway", "denoise", "diarize", "transcribe", "classify", "projector")
SETTINGS = {"VOXRELAY_OBJECT_STORE_URL": f"file://{OUT}/overload-objects", "VOXRELAY_LOG_LEVEL": "error"}
LATE_S = 3.0
SPEECH_S = 600.0
FILE_S = 15.0
CALL_S = 60.0  # of those who come later; the others speak on
SETTLE_S = 10.0
WARM_UP_S = 90.0  # a broker that has just been started compiles itself for a minute, on the same cores; the last third is with files
PATIENCE_S = 600.0
TURNS = (
    ("nobody", False, False),
    ("files", True, False),
    ("callers", False, True),
    ("files and callers", True, True),
)


@dataclass(frozen=True)
class Turn:
    """What was seen in one. ``delays_s``: of every final of those who spoke already."""

    beside: str
    delays_s: list[float]
    interims_a_minute: float  # of each of them
    admitted: float  # of the callers beside them, in a call at its end
    refused: int
    file_minutes: float  # of audio, finished in a minute
    memory_mb: float
    cores: dict[str, float]


class Files:
    """Posts files, so many at a time, for as long as it is entered."""

    def __init__(self, url: str, wavs: Sequence[bytes], at_once: int) -> None:
        self._url, self._wavs, self._at_once = url, itertools.cycle(wavs), at_once
        self.done_s = 0.0
        self.failures = 0

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            going = asyncio.Event()
            senders = [asyncio.create_task(self._send(client, going)) for _ in range(self._at_once)]
            try:
                yield
            finally:
                going.set()
                await asyncio.gather(*senders)

    async def _send(self, client: httpx.AsyncClient, over: asyncio.Event) -> None:
        while not over.is_set():
            answer = await client.post(f"{self._url}/api/process", content=next(self._wavs), headers={"content-type": "audio/wav"})
            if answer.is_success:
                self.done_s += FILE_S
            else:
                self.failures += 1
                await asyncio.sleep(1.0)


@asynccontextmanager
async def calling(load: Load, count: int) -> AsyncIterator[None]:
    await load.hold(count)
    try:
        yield
    finally:
        await load.hold(0)


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def measured(beside: str, speaking: Load, people: int, others: Load, files: Files, watch: Watch, seconds: float) -> Turn:
    """One turn, which goes on already."""
    await asyncio.sleep(SETTLE_S)
    for load in (speaking, others):
        load.delays.clear()
        load.heard.clear()
    refused, sent_s = others.ended["OVERLOADED"], files.done_s
    watch.cores()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    minutes = (time.perf_counter() - started) / 60
    return Turn(
        beside,
        list(speaking.delays),
        round(speaking.heard["interim"] / people / minutes, 1),
        others.in_call,
        others.ended["OVERLOADED"] - refused,
        round((files.done_s - sent_s) / 60 / minutes, 2),
        round(sum(watch.memory().values())),
        watch.cores(),
    )


async def run(url: str, watch: Watch, speech: bytes, wavs: Sequence[bytes], arguments: argparse.Namespace) -> tuple[int, int, list[Turn]]:
    """The most the platform carries, how many spoke, and what was seen in each turn."""
    speaking = Load(url, speech, counts="final", parameters={}, call_s=24 * 3600.0, seed=1)
    most = arguments.most
    if not most:
        print("more and more people call:", flush=True)
        most, _ = await capacity(speaking, 1, LATE_S)
    people = max(1, int(most * arguments.share))
    others = Load(url, speech, counts="final", parameters={}, call_s=CALL_S, seed=2)
    files = Files(url, wavs, arguments.files)
    await speaking.hold(people)
    await asyncio.sleep(WARM_UP_S * 2 / 3)
    async with files.sending():
        await asyncio.sleep(WARM_UP_S / 3)
    turns = []
    for beside, with_files, with_callers in TURNS * arguments.rounds:
        async with files.sending() if with_files else nothing(), calling(others, 2 * most - people) if with_callers else nothing():
            turns.append(await measured(beside, speaking, people, others, files, watch, arguments.seconds))
        print(f"  beside {people}: {row(turns[-1])}", flush=True)
    wrong = {how: times for load in (speaking, others) for how, times in load.ended.items() if how not in ("closed", "OVERLOADED")}
    await speaking.hold(0)
    print(f"calls that ended otherwise than they should: {wrong or 'none'}; files that failed: {files.failures}")
    return most, people, turns


def of_all_rounds(turns: Sequence[Turn]) -> list[Turn]:
    """Every kind of turn once: all its delays, and the means of the rest."""
    found = []
    for beside, *_ in TURNS:
        same = [turn for turn in turns if turn.beside == beside]
        found.append(
            Turn(
                beside,
                [delay for turn in same for delay in turn.delays_s],
                round(mean(turn.interims_a_minute for turn in same), 1),
                round(mean(turn.admitted for turn in same), 1),
                round(mean(turn.refused for turn in same)),
                round(mean(turn.file_minutes for turn in same), 2),
                round(mean(turn.memory_mb for turn in same)),
                {name: mean(turn.cores[name] for turn in same) for name in same[0].cores},
            )
        )
    return found


def row(turn: Turn) -> list[object]:
    waits = [f"{percentile(turn.delays_s, share):.2f}" if turn.delays_s else "-" for share in (0.5, 0.95)]
    busy = sum(cores for name, cores in turn.cores.items() if name != "stolen")
    return [
        *(turn.beside, len(turn.delays_s), *waits, turn.interims_a_minute, turn.admitted, turn.refused, turn.file_minutes),
        *(turn.memory_mb, round(busy, 2), round(turn.cores["stolen"], 2)),
    ]


@contextmanager
def platform(mode: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Its address and processes."""
    if mode == "embedded":
        with alone.embedded() as (url, pid):
            yield url, {"embedded": pid}
        return
    with alone.broker("overload") as kafka, alone.stack("overload", kafka, SERVICES, SETTINGS) as running:
        yield running.url, {name: running.pid(name) for name in SERVICES} | {"broker": alone.broker_pid("overload")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=0, help="as many as the platform carries, instead of looking for it")
    parser.add_argument("--share", type=float, default=0.7, help="of the most, who speak all the time")
    parser.add_argument("--files", type=int, default=4, help="at a time")
    parser.add_argument("--seconds", type=float, default=25.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="how often each turn comes")
    parser.add_argument("--mode", choices=["kafka", "embedded"], default="kafka")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real speech")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then too
    speech = next(strung_together(arguments.data, SPEECH_S))[44:]
    wavs = list(itertools.islice(strung_together(arguments.data, FILE_S), 40))
    try:
        with platform(arguments.mode) as (url, pids):
            most, people, turns = asyncio.run(run(url, Watch(pids), speech, wavs, arguments))
    finally:
        shutil.rmtree(OUT / "overload-objects", ignore_errors=True)
    pooled = of_all_rounds(turns)
    print_table(
        f"{people} people speak, {most} are the most ({arguments.mode}); seconds until their finals come, and what comes beside them",
        ("beside", "finals", "p50 s", "p95 s", "interims a minute", "admitted", "refused", "file minutes a minute", "MB", "cores", "stolen"),
        [row(turn) for turn in pooled],
    )
    write_json("overload", {"mode": arguments.mode, "most": most, "people": people, "turns": [asdict(turn) for turn in turns]})
    seen = {turn.beside: {people: [delay * 1000 for delay in turn.delays_s]} for turn in pooled if turn.delays_s}
    write_percentiles("overload", "End of speech to final, with the pause", "ms", seen)


if __name__ == "__main__":
    main()
