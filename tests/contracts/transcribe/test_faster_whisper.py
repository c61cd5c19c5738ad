"""What only Whisper does, through faster-whisper's real loading and decoding code and a tiny model that says a script."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.transcribe.compose import configured_transcriber
from services.transcribe.engine import ENGINES, Advance, Hypothesis, StreamOptions
from services.transcribe.settings import TranscribeSettings
from tests.contracts.transcribe.streaming import NOTHING, final, streamed
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.errors import Unavailable
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings

pytest.importorskip("faster_whisper", reason="the extra faster-whisper is not installed")
SCRIPT = "one two three four five six"


@pytest.fixture(scope="module")
def whisper(tiny_whisper: Path) -> Iterator[Any]:
    engine = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32")
    yield engine
    engine.close()


def test_the_script_comes_with_times_probabilities_and_the_language_detected(whisper: Any, sentence: Float32Array) -> None:
    said = final(whisper, sentence)
    assert (said.text, said.language, said.samples) == (SCRIPT, "en", sentence.size)
    assert [word.text for word in said.words] == SCRIPT.split()
    times = [time for word in said.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] <= sentence.size / 16_000
    assert all(0.5 < word.confidence <= 1.0 for word in said.words)
    assert len(whisper.languages) == 100
    assert final(whisper, sentence, StreamOptions(language="de-CH")).language == "de"
    assert final(whisper, sentence, StreamOptions(language="tlh")).language == "en"  # none it has: detected


def test_vocabulary_is_a_prompt_of_its_stream_alone(whisper: Any, sentence: Float32Array) -> None:
    """Each token of the prompt moves the script on by one: startofprev, then "five six" as text that might have come before."""
    with_terms = final(whisper, sentence, StreamOptions(vocabulary=("five six",)))
    assert with_terms.text == "four five six"
    assert final(whisper, sentence).text == SCRIPT
    streams = [whisper.open(options, wants_interims=False) for options in (StreamOptions(), StreamOptions(vocabulary=("five six",)))]
    both = whisper.advance([Advance(stream, sentence, is_last=True) for stream in streams])
    assert [one.text for one in both] == [SCRIPT, "four five six"]


def test_endless_vocabulary_leaves_room_for_the_text(whisper: Any, sentence: Float32Array) -> None:
    said = final(whisper, sentence, StreamOptions(vocabulary=tuple(f"term{number}" for number in range(1000))))
    assert said.text == ""  # the prompt reaches beyond the script, and not beyond the decoder


def test_interims_never_take_a_word_back_and_cover_more_and_more(whisper: Any, sentence: Float32Array) -> None:
    last, interims = streamed(whisper, sentence, 4_800)
    assert last == final(whisper, sentence)
    assert interims
    assert all(later.text.startswith(earlier.text) and later.samples >= earlier.samples for earlier, later in pairwise(interims))
    assert interims[-1].text == SCRIPT


def test_a_stream_that_nobody_follows_gets_no_interims(whisper: Any, sentence: Float32Array) -> None:
    for stream in (whisper.open(StreamOptions(), wants_interims=False), whisper.open(StreamOptions(), wants_interims=True, is_urgent=False)):
        assert whisper.advance([Advance(stream, sentence[:32_000])]) == [None]
        whisper.discard(stream)


def test_more_sessions_than_fit_into_a_batch_all_get_their_words(tiny_whisper: Path, sentence: Float32Array) -> None:
    engine = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32", batch=2)
    streams = [engine.open(StreamOptions(language="de" if number % 2 else ""), wants_interims=False) for number in range(5)]
    lengths = [sentence.size - 3_000 * number for number in range(5)]
    answers = engine.advance([Advance(stream, sentence[:length], is_last=True) for stream, length in zip(streams, lengths, strict=True)])
    assert [(one.text, one.samples, one.language) for one in answers] == [
        (SCRIPT, length, "de" if number % 2 else "en") for number, length in enumerate(lengths)
    ]


def test_running_out_of_memory_halves_the_batch_and_says_so(tiny_whisper: Path, sentence: Float32Array, caplog: pytest.LogCaptureFixture) -> None:
    engine = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32", batch=4)
    real, sizes, room = engine._model.encode, [], [2]

    def encode(features: Float32Array) -> Any:
        sizes.append(len(features))
        if len(features) > room[0]:
            raise RuntimeError("CUDA failed with error out of memory")
        return real(features)

    engine._model.encode = encode
    streams = [engine.open(StreamOptions(), wants_interims=False) for _ in range(5)]
    answers = engine.advance([Advance(stream, sentence, is_last=True) for stream in streams])
    assert [one.text for one in answers] == [SCRIPT] * 5
    assert sizes == [4, 2, 2, 1]
    assert [record.__dict__["fields"]["batch"] for record in caplog.records if "ran out of memory" in record.getMessage()] == [2]
    room[0] = 0
    with pytest.raises(Unavailable, match="not enough memory"):
        final(engine, sentence)


def test_translation_is_another_task_of_the_same_model(tiny_whisper: Path, sentence: Float32Array) -> None:
    engine = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32", is_translating=True)
    asked: list[list[list[int]]] = []
    real = engine._model.model

    class Recording:
        def generate(self, features: Any, prompts: list[list[int]], **options: Any) -> Any:
            asked.append(prompts)
            return real.generate(features, prompts, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    engine._model.model = Recording()
    assert final(engine, sentence).text == SCRIPT
    assert asked[0][0][-1] == engine._prompter.translate


def test_an_english_model_speaks_english(tmp_path: Path, sentence: Float32Array) -> None:
    from tests.contracts.transcribe.tiny_whisper import build_tiny_whisper

    folder = build_tiny_whisper(tmp_path, is_multilingual=False)
    engine = load("transcribe", ENGINES, "faster-whisper", weights=folder, device="cpu", compute="float32", is_translating=True)
    assert engine.languages == ("en",)
    assert final(engine, sentence, StreamOptions(language="de")).language == "en"


def test_text_that_goes_round_in_circles_is_decoded_again_without(tmp_path: Path, sentence: Float32Array) -> None:
    from tests.contracts.transcribe.tiny_whisper import build_tiny_whisper

    folder = build_tiny_whisper(tmp_path, " again and" * 40)
    said = final(load("transcribe", ENGINES, "faster-whisper", weights=folder, device="cpu", compute="float32"), sentence)
    assert said.text.startswith("again and")
    assert said.text.count("again and again") < 5  # the script has 39


def test_an_utterance_beyond_the_window_is_decoded_window_by_window(whisper: Any, sentence: Float32Array) -> None:
    long = np.tile(sentence, 12)[: 33 * 16_000]
    said = final(whisper, long)
    assert said.text == f"{SCRIPT} {SCRIPT}"
    assert said.words[6].start_s >= 30.0


def test_a_long_session_leaves_nothing_behind(whisper: Any, sentence: Float32Array) -> None:
    """Twenty utterances: what Python holds afterwards is what it held after three."""

    def speak(utterances: int) -> list[Hypothesis]:
        return [streamed(whisper, sentence[:24_000], 12_000)[0] for _ in range(utterances)]

    speak(3)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        assert len({one.text for one in speak(20)}) == 1
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 200_000  # one utterance's audio alone is 96 kB
    finally:
        tracemalloc.stop()
    assert not whisper._streams


def test_closing_lets_go_of_the_weights(tiny_whisper: Path, sentence: Float32Array) -> None:
    engine = load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cpu", compute="float32")
    final(engine, sentence)
    model = weakref.ref(engine._model)
    engine.close()
    with pytest.raises(Unavailable):
        engine.advance([Advance(1, NOTHING, is_last=True)])
    del engine
    gc.collect()
    assert model() is None


def test_the_service_takes_a_model_of_ones_own_from_the_registry(tiny_whisper: Path, tmp_path: Path, sentence: Float32Array) -> None:
    platform = PlatformSettings(models=tmp_path)
    entry = ModelEntry("tiny", "transcribe", "faster-whisper", f"folder:{tiny_whisper}", "Apache-2.0", "says a script")
    added = ModelRegistry(tmp_path).add(entry)
    settings = TranscribeSettings(engine="faster-whisper", model="tiny", device="cpu", compute="float32")
    engine = configured_transcriber(platform, settings)
    assert final(engine, sentence).text == SCRIPT
    assert engine.engine.model_digest == added.digest
    with pytest.raises(EngineUnusable, match="voxrelay models pull faster-whisper-small"):
        configured_transcriber(platform, TranscribeSettings(engine="faster-whisper"))
    with pytest.raises(EngineUnusable, match="a model of the engine 'faster-whisper'"):
        configured_transcriber(platform, TranscribeSettings(engine="pocketsphinx", model="tiny"))


def test_what_cannot_be_run_is_refused_in_a_sentence(tmp_path: Path, tiny_whisper: Path) -> None:
    with pytest.raises(EngineUnusable, match="cannot be run as a Whisper model on cpu"):
        load("transcribe", ENGINES, "faster-whisper", weights=tmp_path, device="cpu")
    with pytest.raises(EngineUnusable, match="cannot be run as a Whisper model on cuda"):
        load("transcribe", ENGINES, "faster-whisper", weights=tiny_whisper, device="cuda")
