"""Runs of the same speech: one undisturbed, then as many as wanted with faults, each held against the first."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.chaos.callers import Heard, Voice, speak
from benchmarks.chaos.faults import KINDS
from benchmarks.chaos.plan import Fault
from benchmarks.chaos.platform import Platform
from benchmarks.chaos.stored import Kept, Store
from benchmarks.chaos.verdict import Outcome, Verdict, judge

STORED_WITHIN_S = 120.0  # of all of a round, after the last has hung up
LOOK_EVERY_S = 1.0
SHOWN = 5  # differences of a round, at once; the report has more
LET_GO_S = 0.03  # between two callers' beginnings, so that their chunks do not come all at once
Say = Callable[[str], None]


@dataclass
class Struck:
    """One fault as it was: seconds since the run began. ``problem`` is what it found by itself."""

    fault: Fault
    began_s: float
    ended_s: float = 0.0
    problem: str = ""


@dataclass
class Round:
    """One disturbed run."""

    seed: int
    struck: list[Struck] = field(default_factory=list)
    restarts: list[tuple[float, str]] = field(default_factory=list)  # what ended by itself, and when
    callers: list[Heard] = field(default_factory=list)  # without what they heard
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def problems(self) -> list[str]:
        return [f"{struck.fault.kind} {struck.fault.target}: {struck.problem}" for struck in self.struck if struck.problem]

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.problems


class Campaign:
    """``sessions`` people speak the voices by turns. One thread uses it."""

    def __init__(self, platform: Platform, voices: Sequence[Voice], sessions: int, say: Say, *, speed: float = 1.0) -> None:
        self._platform, self._voices, self._sessions, self._say, self._speed = platform, list(voices), sessions, say, speed
        self._store = Store(platform.direct)
        self._undisturbed: dict[str, Outcome] = {}

    @property
    def duration_s(self) -> float:
        """For how long people speak."""
        return max(voice.duration_s for voice in self._voices) / self._speed

    def close(self) -> None:
        self._store.close()

    def run_undisturbed(self) -> dict[str, Outcome]:
        """Each voice once. Raises ``AssertionError`` where that says nothing or is not kept: nothing could be held against it."""
        self._say(f"undisturbed: {len(self._voices)} people speak for {self.duration_s:.0f} s")
        heard = asyncio.run(self._speak(self._voices, [], 0, [], []))
        outcomes = self._keep(heard, {})
        for outcome in outcomes:
            assert not outcome.heard.failure, outcome.heard.failure
            assert outcome.heard.of("final"), "an undisturbed session has no finals"
            assert outcome.kept.get(("sessions", "is_complete")), "an undisturbed session was never complete in the store"
        self._undisturbed = {outcome.heard.voice: outcome for outcome in outcomes}
        self._say(f"undisturbed: {sum(len(outcome.heard.of('final')) for outcome in outcomes)} finals")
        return self._undisturbed

    def run(self, seed: int, faults: Sequence[Fault]) -> Round:
        """One disturbed run. Everything is mended when it returns, also when it raises."""
        done = Round(seed)
        spoken = [self._voices[number % len(self._voices)] for number in range(self._sessions)]
        self._say(f"seed {seed}: {len(spoken)} people speak for {self.duration_s:.0f} s, {len(faults)} faults")
        heard = asyncio.run(self._speak(spoken, faults, seed, done.struck, done.restarts))
        self._say(f"seed {seed}: all have hung up; comparing what was kept")
        outcomes = self._keep(heard, self._undisturbed)
        done.verdict = judge(outcomes, self._undisturbed)
        done.callers = [one.without_words() for one in heard]
        self._platform.wait_ready()
        self._say(f"seed {seed}: " + ("nothing lost, doubled or changed" if done.is_clean else "NOT what an undisturbed run gave"))
        for difference in done.verdict.differences[:SHOWN]:
            self._say(f"  caller {difference.session + 1}: {difference.kind} {difference.what}: {difference.key}")
        return done

    async def _speak(
        self, spoken: Sequence[Voice], faults: Sequence[Fault], seed: int, struck: list[Struck], restarts: list[tuple[float, str]]
    ) -> list[Heard]:
        begun_at = time.monotonic()
        locks = {_whole(fault.target): asyncio.Lock() for fault in faults}
        with ThreadPoolExecutor(max(1, len(faults)), thread_name_prefix="fault") as threads:
            striking = [asyncio.create_task(self._strike(fault, locks[_whole(fault.target)], threads, begun_at, struck)) for fault in faults]
            speaking = []
            for number, voice in enumerate(spoken):
                chance = random.Random(f"{seed}/{number}")
                speaking.append(asyncio.create_task(speak(voice, lambda: self._platform.gateways, chance, begun_at, self._speed)))
                await asyncio.sleep(LET_GO_S)
            watching = asyncio.create_task(self._watch(begun_at, restarts))
            heard = await asyncio.gather(*speaking)
            await asyncio.gather(*striking)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return heard

    async def _watch(self, begun_at: float, restarts: list[tuple[float, str]]) -> None:
        while True:
            for service in self._platform.start_what_ended():
                restarts.append((time.monotonic() - begun_at, service))
                self._say(f"  {restarts[-1][0]:5.1f} s  {service} ended by itself and is started again")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _strike(self, fault: Fault, target: asyncio.Lock, threads: ThreadPoolExecutor, begun_at: float, struck: list[Struck]) -> None:
        await asyncio.sleep(max(0.0, begun_at + fault.at_s - time.monotonic()))
        async with target:
            await asyncio.get_running_loop().run_in_executor(threads, self._break, fault, begun_at, struck)

    def _break(self, fault: Fault, begun_at: float, struck: list[Struck]) -> None:
        """In a thread of its own, so that what was broken comes back even when the run has failed meanwhile."""
        record = Struck(fault, time.monotonic() - begun_at)
        struck.append(record)
        self._say(f"  {record.began_s:5.1f} s  {fault.kind}: {fault.target} for {fault.lasts_s:.1f} s")
        try:
            with KINDS[fault.kind].strike(self._platform, fault.target):
                time.sleep(fault.lasts_s)
        except Exception as error:  # whatever it is, the campaign goes on and tells
            record.problem = f"{type(error).__name__}: {error}"
            self._say(f"         {fault.kind}: {fault.target} found a problem: {record.problem}")
        record.ended_s = time.monotonic() - begun_at

    def _keep(self, heard: Sequence[Heard], expected: dict[str, Outcome]) -> list[Outcome]:
        outcomes = []
        kept_by = time.monotonic() + STORED_WITHIN_S
        for one in heard:
            left_s = 5.0 if one.failure else max(0.0, kept_by - time.monotonic())
            objects = [key for key in expected[one.voice].kept if key[0] == "objects"] if expected else None
            kept: Kept = self._store.wait_for(one.session_id, objects, left_s) if one.session_id else {}
            outcomes.append(Outcome(one, kept))
        return outcomes


def _whole(target: str) -> str:
    """Of this one thing at a time is broken. The cluster is one: it promises to survive the loss of one broker, not of two."""
    return "kafka" if target.startswith("kafka") else target
