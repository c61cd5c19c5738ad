"""Half an hour of one session through the stage and faster-whisper's real code, fed as fast as it goes. ``make test-engines`` runs it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.transcribe.engine import ENGINES
from services.transcribe.stage import TranscribeStage
from tests.contracts.transcribe.streaming import final
from voxrelay.audio import Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.engines import load
from voxrelay.events import AudioDenoised, Event, Payload, SegmentTranscribed, SessionConfig, SessionOpened, UtteranceEnded, UtteranceStarted
from voxrelay.models.slot import EngineSlot

pytest.importorskip("faster_whisper", reason="the extra faster-whisper is not installed")
pytestmark = [
    pytest.mark.skipif("VOXRELAY_TEST_ENGINES" not in os.environ, reason="minutes long: make test-engines runs it"),
    pytest.mark.slow,
    pytest.mark.timeout(1_500),
]

CHUNK = 1_600
PAUSE_CHUNKS = 10
SESSION_SAMPLES = 30 * 60 * 16_000
MOST_GROWTH_BYTES = 30_000_000  # half an hour of audio alone is 58 MB as PCM, and twice that as numbers


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def utterance(number: int, start: int, pcm_s16le: bytes) -> Iterator[Payload]:
    """The announcement, the audio in chunks of 100 ms, the end, and a pause."""
    yield UtteranceStarted(f"u{number}", start)
    chunks = len(pcm_s16le) // (2 * CHUNK)
    for index in range(chunks):
        yield AudioDenoised(start + index * CHUNK, pcm_s16le[2 * CHUNK * index : 2 * CHUNK * (index + 1)], "", 0.9)
    yield UtteranceEnded(f"u{number}", start, start + chunks * CHUNK)
    for index in range(chunks, chunks + PAUSE_CHUNKS):
        yield AudioDenoised(start + index * CHUNK, bytes(2 * CHUNK), "", 0.0)


def test_half_an_hour_keeps_its_memory_its_work_and_its_words(tiny_whisper: Path, sentence: Float32Array, cards: Float32Array) -> None:
    engine: Any = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32", beam=1)
    sounds = [pcm_s16le_from_float32(samples[: samples.size // CHUNK * CHUNK]) for samples in (sentence, cards)]
    offline = [final(engine, float32_from_pcm_s16le(pcm)) for pcm in sounds]
    calls, encode = [0], engine._model.encode

    def counted(features: Float32Array) -> Any:
        calls[0] += len(features)
        return encode(features)

    engine._model.encode = counted
    stage = TranscribeStage(EngineSlot("transcribe", engine), interim_every_ms=1_000)
    list(stage.process([Event("s", SessionOpened(SessionConfig(language="en", interim_results=True, stages=("transcribe",))))]))
    work: list[list[int]] = [[], []]
    seconds: list[float] = []
    memory: list[int] = []
    at = number = 0
    while at < SESSION_SAMPLES:
        which = number % 2
        before, started = calls[0], time.perf_counter()
        results = [
            result.payload
            for payload in utterance(number, at, sounds[which])
            for result in stage.process([Event("s", payload)])
            if isinstance(result.payload, SegmentTranscribed)
        ]
        seconds.append(time.perf_counter() - started)
        work[which].append(calls[0] - before)
        texts = [result.text for result in results]
        assert [result.is_final for result in results] == [False] * (len(results) - 1) + [True]
        assert len(results) > 1
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts)), texts
        assert texts[-1] == offline[which].text
        assert [word.text for word in results[-1].words] == [word.text for word in offline[which].words]
        at += len(sounds[which]) // 2 + PAUSE_CHUNKS * CHUNK
        number += 1
        if number % 50 == 0:
            memory.append(resident_bytes())
    for counts in work:
        assert set(counts) == {counts[0]}  # the last utterance cost the model what the first did
    assert max(memory[2:]) - memory[1] < MOST_GROWTH_BYTES, memory
    assert not engine._streams
    fifth = len(seconds) // 5
    told = f"{number} utterances, memory {memory[1] / 1e6:.0f} to {memory[-1] / 1e6:.0f} MB"
    medians = [float(np.median(part)) for part in (seconds[:fifth], seconds[-fifth:])]
    print(f"\n{told}, time of an utterance {medians[0]:.3f} s in the first fifth and {medians[1]:.3f} s in the last (medians)")  # noqa: T201  # with -s
    engine.close()
