"""Runs systems over recordings and scores them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.items import DataUnusable, Item
from evaluation.path import engine_seconds, running, seconds_of
from evaluation.systems import System
from evaluation.task import Heard, Score, Task, means, rate_of
from voxrelay.audio import SAMPLE_RATE_HZ, float32_from_pcm_s16le
from voxrelay.events import Engine, SessionConfig

Progress = Callable[[str, int, int], None]  # the system, recordings so far, recordings in all
PERCENTILES = (50, 90, 95, 99)
AS_MANY_AS_KNOWN = -1  # speakers: each session is told how many its reference has


@dataclass(frozen=True, slots=True)
class Timing:
    """``rtf`` is the time one session alone takes by the audio's length, ``engine_rtf`` the part of it inside the engine that is measured.

    ``latency_s`` are seconds: of each utterance from the audio that ends it to its final; where there are none, of each 100 ms chunk
    until it is cleaned. Audio comes as fast as it is taken, so all decoding that was left counts.
    """

    audio_s: float
    elapsed_s: float
    engine_s: float
    latency_s: tuple[float, ...]
    latency_of: str

    @property
    def rtf(self) -> float:
        return self.elapsed_s / max(1e-9, self.audio_s)

    @property
    def engine_rtf(self) -> float:
        return self.engine_s / max(1e-9, self.audio_s)

    def percentile_s(self, percent: int) -> float | None:
        """Nearest rank."""
        ordered = sorted(self.latency_s)
        return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))] if ordered else None


@dataclass(frozen=True, slots=True)
class Result:
    """One system. ``timing`` is None for a floor, which takes no time."""

    name: str
    scores: list[Score]
    summary: dict[str, float]
    timing: Timing | None = None
    engines: dict[str, Engine] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        return rate_of(self.scores)

    def by_group(self) -> dict[str, list[Score]]:
        groups: dict[str, list[Score]] = defaultdict(list)
        for score in self.scores:
            groups[score.item.group].append(score)
        return dict(groups)


def chosen(task: Task, items: Sequence[Item]) -> list[Item]:
    """Those the task can use. Raises ``DataUnusable`` where there are none."""
    found = [item for item in items if task.suits(item)]
    if not found:
        raise DataUnusable(f"None of the {len(items)} recordings has what '{task.name}' needs: {task.needs}.")
    return found


def evaluate(task: Task, items: Sequence[Item], systems: Sequence[System], progress: Progress) -> list[Result]:
    """Each system over all items; the first one's simplest guess stands at the end. Raises ``EngineUnusable``, ``DataUnusable``, ``StageStuck``."""
    results: list[Result] = []
    floor: list[Score] = []
    for one in systems:
        with one.in_force():
            heard, timing, engines = _hear(task, items, one, progress)
            scores = task.scores(heard)
        results.append(Result(one.name, scores, means(scores) | task.summary(scores), timing, engines))
        floor = floor or task.floor_scores(heard)
    if floor:
        results.append(Result(task.floor, floor, means(floor) | task.summary(floor)))
    return results


def _hear(task: Task, items: Sequence[Item], one: System, progress: Progress) -> tuple[list[Heard], Timing, dict[str, Engine]]:
    heard: list[Heard] = []
    audio_s = elapsed_s = 0.0
    finals: list[float] = []
    chunks: list[float] = []
    at_16_khz = SAMPLE_RATE_HZ if task.name == "denoise" else None  # compared with clean audio sample for sample
    with running(task.services) as path:
        engines = dict(path.engines)
        before = engine_seconds()
        for number, item in enumerate(items, 1):
            pcm, rate_hz = item.pcm(at_16_khz)
            config: dict[str, Any] = {"interim_results": False, "stages": task.services, **one.session}
            if config.get("num_speakers", 0) == AS_MANY_AS_KNOWN:
                config["num_speakers"] = len({turn.speaker for turn in item.turns or ()})
            outcome = path.run(pcm, SessionConfig(sample_rate_hz=rate_hz, **config))
            samples = float32_from_pcm_s16le(pcm if rate_hz == SAMPLE_RATE_HZ else item.pcm(SAMPLE_RATE_HZ)[0])
            heard.append(Heard(item, samples, outcome))
            audio_s += seconds_of(pcm, rate_hz)
            elapsed_s += outcome.elapsed_s
            finals += outcome.final_s
            chunks += outcome.chunk_s
            engines |= outcome.engines
            progress(one.name, number, len(items))
        after = engine_seconds()
    engine_s = sum(after.get(stage, 0.0) - before.get(stage, 0.0) for stage in task.stages)
    latency_of = "utterance end to final" if finals else "100 ms chunk to cleaned audio"
    return heard, Timing(audio_s, elapsed_s, engine_s, tuple(finals or chunks), latency_of), engines
