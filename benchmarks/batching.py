"""What an engine gains by taking many sessions at once, and what each of them waits for it: throughput against latency for 1, 4, 16 and 64 sessions.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.batching [--seconds 2]

Each session has 96 ms of audio due (a speaker embedding: one window), all go to the engine in one call, and the call's time is what each waits.
Only engines with real weights: `voxrelay models pull --bundled` and `voxrelay models pull dtln gtcrn` bring them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.report import percentile, print_table, write_json, write_shares
from services.denoise.engine import DETECTORS, FRAME_SAMPLES, HOP_SAMPLES, Passage
from services.denoise.engine import ENGINES as SUPPRESSORS
from services.diarize.engine import ENGINES as EMBEDDERS
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings

SESSIONS = (1, 4, 16, 64)
HOPS, FRAMES = 12, 3  # 96 ms both
LEAST_CALLS = 5

Call = Callable[[], object]


def noise(samples: int) -> Float32Array:
    return np.asarray(np.random.default_rng(0).normal(size=samples) * 0.05, dtype=np.float32)


def suppressing(name: str, sessions: int, registry: ModelRegistry) -> tuple[Call, float]:
    options = {"weights": registry.path(name)} if name in ("dtln", "gtcrn") else {}
    engine = load("denoise", SUPPRESSORS, name, **options)
    samples, strengths = noise(HOPS * HOP_SAMPLES), np.ones(HOPS, dtype=np.float32)
    work = [Passage(engine.open(), samples, strengths) for _ in range(sessions)]
    return lambda: engine.process(work), samples.size / SAMPLE_RATE_HZ


def detecting(sessions: int, registry: ModelRegistry) -> tuple[Call, float]:
    engine = load("speech detection", DETECTORS, "silero", weights=registry.path("silero-vad"))
    frames = noise(FRAMES * FRAME_SAMPLES).reshape(FRAMES, FRAME_SAMPLES)
    work = [(engine.open(), frames) for _ in range(sessions)]
    return lambda: engine.process(work), frames.size / SAMPLE_RATE_HZ


def embedding(sessions: int, registry: ModelRegistry) -> tuple[Call, float]:
    engine = load("diarize", EMBEDDERS, "ge2e", weights=registry.path("ge2e"))
    windows = noise(sessions * engine.window_samples).reshape(sessions, -1)
    return lambda: engine.embed(windows), engine.step_samples / SAMPLE_RATE_HZ  # one window for each step of the audio


def engines(registry: ModelRegistry) -> Iterator[tuple[str, Callable[[int], tuple[Call, float]]]]:
    for name in ("omlsa", "dtln", "gtcrn"):
        yield name, lambda sessions, name=name: suppressing(name, sessions, registry)
    yield "silero", lambda sessions: detecting(sessions, registry)
    yield "ge2e", lambda sessions: embedding(sessions, registry)


def measure(call: Call, seconds: float) -> list[float]:
    call()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < LEAST_CALLS:
        started = time.perf_counter()
        call()
        spent.append(time.perf_counter() - started)
    return spent


def main() -> None:
    arguments = argparse.ArgumentParser(description="Throughput against latency by batch.")
    arguments.add_argument("--seconds", type=float, default=2.0, help="of calls for each engine and batch")
    seconds = arguments.parse_args().seconds
    rows: list[tuple[object, ...]] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    figures = []
    for name, made in engines(ModelRegistry(PlatformSettings().models)):
        for sessions in SESSIONS:
            try:
                call, audio_s = made(sessions)
            except EngineUnusable as error:  # weights that were not pulled
                print(f"{name} is left out. {error}")
                break
            spent = measure(call, seconds)
            p50_ms, p95_ms = (1e3 * percentile(spent, share) for share in (0.5, 0.95))
            throughput = sessions * audio_s / (p50_ms / 1e3)
            rows.append((name, sessions, f"{p50_ms:.2f}", f"{p95_ms:.2f}", f"{throughput:.0f}"))
            lines.setdefault(name, []).append((p50_ms, throughput))
            figures.append({"engine": name, "batch": sessions, "p50_ms": p50_ms, "p95_ms": p95_ms, "audio_seconds_per_second": throughput})
    print_table("A call for so many sessions", ("engine", "sessions", "p50 ms", "p95 ms", "audio s / s"), rows)
    write_json("batching", {"seconds": seconds, "figures": figures})
    write_shares("batching", "milliseconds a call (1, 4, 16, 64 sessions)", "seconds of audio a second", lines)


if __name__ == "__main__":
    main()
