"""How much audio has to pass before the first words are out, whatever time the engine takes: the part of the wait that the platform decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from services.transcribe.engine import ENGINES
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import TranscribeStage
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.engines import load
from voxrelay.events import AudioReceived, Event, Payload, SegmentTranscribed, SessionConfig, SessionOpened
from voxrelay.models.slot import EngineSlot

pytest.importorskip("faster_whisper", reason="the extra faster-whisper is not installed")

CHUNK = 320  # 20 ms, so that the answer is no coarser
AUDIBLE = 0.02  # of full scale: the first sound of the clips used


def received(samples: Float32Array) -> Iterator[Payload]:
    pcm = pcm_s16le_from_float32(samples)
    for at in range(0, len(pcm), 2 * CHUNK):
        yield AudioReceived(at // 2, pcm[at : at + 2 * CHUNK])


def audio_until_first_words(denoise: DenoiseStage, transcribe: TranscribeStage, session: str, speech: Float32Array) -> int:
    """Samples from the first sound to the end of the chunk with which the first words come."""
    silence = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    onset = silence.size + int(np.argmax(np.abs(speech) > AUDIBLE))
    opened = SessionOpened(SessionConfig(interim_results=True, stages=("denoise", "transcribe")))
    given = 0
    for payload in (opened, *received(np.concatenate((silence, speech)))):
        given += CHUNK if isinstance(payload, AudioReceived) else 0
        cleaned = list(denoise.process([Event(session, payload)]))
        if any(isinstance(result.payload, SegmentTranscribed) and result.payload.text for result in transcribe.process(cleaned)):
            return given - onset
    raise AssertionError("no words came")


@pytest.mark.parametrize(("every_ms", "most_ms"), [(TranscribeSettings().interim_every_ms, 300), (400, 700)])
def test_the_first_words_wait_for_so_much_audio(
    every_ms: int, most_ms: int, real_front_end: FrontEnd, tiny_whisper: Path, sentence: Float32Array, cards: Float32Array
) -> None:
    """Two decodings have to agree: the second hears twice ``every_ms``, of which 300 ms lie before the first sound."""
    engine: Any = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32", beam=1)
    transcribe, denoise = TranscribeStage(EngineSlot("transcribe", engine), interim_every_ms=every_ms), DenoiseStage(real_front_end)
    try:
        waits = [audio_until_first_words(denoise, transcribe, f"s{number}", speech) for number, speech in enumerate((sentence, cards))]
    finally:
        engine.close()
    assert min(waits) > 0
    assert max(waits) < most_ms * SAMPLE_RATE_HZ // 1000, waits
