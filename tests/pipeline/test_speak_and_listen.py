"""What synth says is speech: loud where its words are, still behind them, and the transcriber of this platform knows some of it again."""

from __future__ import annotations

from collections.abc import Iterator

import jiwer
import numpy as np
import pytest

from services.synth.engine import ENGINES, Synthesizer
from services.synth.stage import SynthStage
from services.transcribe.engine import Advance, StreamOptions
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, level_dbfs
from voxrelay.engines import load
from voxrelay.events import Event, SynthesisProduced, SynthesisRequested, WordSpoken
from voxrelay.models.slot import EngineSlot

COUNTING = "One, two, three, four, five."
SENTENCES = [
    "The weather will be fine tomorrow.",
    "We have to go to the station in the morning.",
    "Please tell me what time it is.",
    "There is a good reason for that.",
    "He was a very old man and had no children.",
]


@pytest.fixture(scope="module")
def stage() -> Iterator[SynthStage]:
    pytest.importorskip("espeakng_loader", reason="the bundled engine is not installed: pip install 'voxrelay[synth]'")
    synthesizer: Synthesizer = load("synth", ENGINES, "espeak", workers=1)
    yield SynthStage(EngineSlot("synth", synthesizer))
    synthesizer.close()


def _speak(stage: SynthStage, request: SynthesisRequested) -> tuple[Float32Array, list[WordSpoken]]:
    pieces = [event.payload for event in stage.process([Event("s", request)]) if isinstance(event.payload, SynthesisProduced)]
    assert pieces[-1].is_last
    pcm_s16le = b"".join(piece.pcm_s16le for piece in pieces)
    return float32_from_pcm_s16le(pcm_s16le), [word for piece in pieces for word in piece.words]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_it_is_loud_where_the_words_are_and_still_at_the_end(stage: SynthStage, rate_hz: int) -> None:
    samples, words = _speak(stage, SynthesisRequested(COUNTING, sample_rate_hz=rate_hz))
    assert [word.text for word in words] == ["One", "two", "three", "four", "five"]
    assert 1.5 < samples.size / rate_hz < 5.0
    for word in words:
        start = round(word.start_s * rate_hz)
        assert level_dbfs(samples[start : start + rate_hz // 4]) > -35.0
    assert level_dbfs(samples[-rate_hz // 10 :]) < -60.0
    assert np.abs(samples).max() < 0.999  # nothing is clipped


def test_two_speakers_sound_different_and_both_say_everything(stage: SynthStage) -> None:
    one, words_of_one = _speak(stage, SynthesisRequested(f"{COUNTING} {COUNTING}", sample_rate_hz=16_000))
    two, words_of_two = _speak(stage, SynthesisRequested(f"Speaker 1: {COUNTING}\nSpeaker 2: {COUNTING}", sample_rate_hz=16_000))
    assert [word.text for word in words_of_one] == [word.text for word in words_of_two]
    half = round(words_of_one[5].start_s * 16_000)
    assert np.array_equal(one[: half - 100], two[: half - 100])
    length = min(one.size, two.size)
    assert np.abs(one[half:length] - two[half:length]).max() > 0.05


def test_the_transcriber_knows_much_of_it_again(stage: SynthStage) -> None:
    """The bundled transcriber has learnt from people: of this voice it gets a good half right, of other ones less."""
    pytest.importorskip("pocketsphinx", reason="the bundled engine is not installed: pip install 'voxrelay[transcribe]'")
    from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber

    said = [_speak(stage, SynthesisRequested(text, voice="en-us+f2", speed=0.8, sample_rate_hz=SAMPLE_RATE_HZ))[0] for text in SENTENCES]
    transcriber = PocketsphinxTranscriber(workers=1, followed=1)
    try:
        streams = [transcriber.open(StreamOptions("en"), wants_interims=False, is_urgent=False) for _ in said]
        heard = transcriber.advance([Advance(stream, samples, is_last=True) for stream, samples in zip(streams, said, strict=True)])
    finally:
        transcriber.close()
    texts = [hypothesis.text if hypothesis is not None else "" for hypothesis in heard]
    assert jiwer.wer([text.rstrip(".").lower() for text in SENTENCES], texts) < 0.6
