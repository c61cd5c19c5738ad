"""What every transcriber promises, asked of each engine in the table: a final depends on its options and its audio alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from services.transcribe.engine import ENGINES, Advance, StreamOptions, Transcriber
from tests.contracts.transcribe.streaming import NOTHING, PLAIN, final, streamed
from voxrelay.audio import Float32Array
from voxrelay.engines import load
from voxrelay.errors import Unavailable

LIBRARIES = {"faster-whisper": "faster_whisper", "pocketsphinx": "pocketsphinx", "sherpa-onnx": "sherpa_onnx"}


def options_of(name: str, request: pytest.FixtureRequest) -> dict[str, object]:
    if name == "faster-whisper":
        return {"weights": request.getfixturevalue("tiny_whisper"), "device": "cpu", "compute": "float32", "batch": 2}
    if name == "sherpa-onnx":
        return {"weights": request.getfixturevalue("tiny_transducer"), "workers": 2, "batch": 2}
    return {"workers": 2}


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Transcriber]:
    pytest.importorskip(LIBRARIES[request.param], reason=f"the library of the engine {request.param} is not installed")
    made: Transcriber = load("transcribe", ENGINES, request.param, **options_of(request.param, request))
    yield made
    made.close()
    with pytest.raises(Unavailable):
        final(made, np.zeros(16_000, dtype=np.float32))


@pytest.mark.parametrize("step", [4_000, 7_777])
def test_streaming_gives_the_final_of_decoding_at_once(engine: Transcriber, sentence: Float32Array, step: int) -> None:
    last, interims = streamed(engine, sentence, step)
    assert last == final(engine, sentence)
    assert last.text
    assert interims
    assert all(earlier.samples <= later.samples <= sentence.size for earlier, later in pairwise(interims))


def test_surplus_behind_the_end_does_not_matter(engine: Transcriber, sentence: Float32Array, cards: Float32Array) -> None:
    assert streamed(engine, sentence, 4_800, surplus=cards[:12_345])[0] == final(engine, sentence)


def test_a_batch_gives_what_one_by_one_gives(engine: Transcriber, sentence: Float32Array, cards: Float32Array) -> None:
    inputs = (sentence, NOTHING, cards, sentence[:20_001])
    alone = [final(engine, samples) for samples in inputs]
    streams = [engine.open(PLAIN, wants_interims=False, is_urgent=bool(index % 2)) for index in range(len(inputs))]
    work = [Advance(stream, samples, is_last=True) for stream, samples in zip(streams, inputs, strict=True)]
    assert engine.advance(work) == alone
    assert [final(engine, samples) for samples in inputs] == alone


def test_words_lie_within_the_utterance_in_order(engine: Transcriber, cards: Float32Array) -> None:
    said = final(engine, cards)
    assert said.text == " ".join(word.text for word in said.words)
    times = [time for word in said.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0.0 <= times[0] <= times[-1] <= cards.size / 16_000
    assert all(0.0 <= word.confidence <= 1.0 for word in said.words)
    assert (said.samples, said.language) == (cards.size, "en")


@pytest.mark.parametrize(
    "samples",
    [
        NOTHING,
        np.zeros(1, dtype=np.float32),
        np.zeros(1_599, dtype=np.float32),
        np.zeros(48_000, dtype=np.float32),
        np.full(32_000, np.nan, dtype=np.float32),
        np.full(32_000, np.inf, dtype=np.float32),
        np.full(32_000, 7.0, dtype=np.float32),
        np.asarray(np.random.default_rng(5).normal(size=64_000) * 0.01, dtype=np.float32),
    ],
    ids=["nothing", "one sample", "a tenth of a second", "silence", "not a number", "infinite", "clipped", "white noise"],
)
def test_audio_without_speech_gives_an_empty_final(engine: Transcriber, samples: Float32Array) -> None:
    said = final(engine, samples)
    assert (said.text, said.words, said.samples) == ("", (), samples.size)


def test_a_vocabulary_stays_in_its_stream(engine: Transcriber, sentence: Float32Array) -> None:
    before = final(engine, sentence)
    final(engine, sentence, StreamOptions(vocabulary=("Helstone", "five six")))
    assert final(engine, sentence) == before


def test_a_discarded_stream_is_gone_and_the_others_are_not(engine: Transcriber, sentence: Float32Array) -> None:
    kept, dropped = (engine.open(PLAIN, wants_interims=True) for _ in range(2))
    engine.advance([Advance(kept, sentence[:16_000]), Advance(dropped, sentence[:16_000])])
    engine.discard(dropped)
    engine.discard(dropped)  # and once more does no harm
    assert engine.advance([Advance(kept, sentence[16_000:], is_last=True)]) == [final(engine, sentence)]


def test_it_says_what_it_is(engine: Transcriber) -> None:
    assert engine.engine.name in ENGINES
    assert engine.engine.version
    assert "en" in engine.languages
    engine.check()
