"""What every classifier promises, asked of each engine in the tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.classify.engine import ACOUSTIC_ENGINES, TEXT_ENGINES, AcousticClassifier, TextClassifier, TranscribedText
from tests.contracts.classify.tiny_models import LABELS, build_random_ecapa, build_tiny_classifier
from tests.speech import read_speech
from voxrelay.attributes import BY_NAME, Source
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.events import Attribute, Word

RANDOM = np.random.default_rng(7)
SECONDS = np.arange(48_000) / 16_000
UTTERANCES: dict[str, Float32Array] = {
    "nothing": np.zeros(0, dtype=np.float32),
    "one sample": np.full(1, 0.5, dtype=np.float32),
    "a window less one": np.full(639, 0.1, dtype=np.float32),
    "a window": np.full(640, -0.1, dtype=np.float32),
    "silence": np.zeros(48_000, dtype=np.float32),
    "constant": np.full(48_000, 0.9, dtype=np.float32),
    "no numbers": np.full(48_000, np.nan, dtype=np.float32),
    "noise": np.asarray(RANDOM.normal(size=48_000) * 0.1, dtype=np.float32),
    "one bit of noise": np.asarray(RANDOM.integers(-1, 2, 48_000) / 32_768, dtype=np.float32),
    "click": np.asarray(np.arange(48_000) == 20_000, dtype=np.float32),
    "clipped": np.asarray(np.sign(np.sin(2 * np.pi * 150 * SECONDS)), dtype=np.float32),
    "low": np.asarray(np.sin(2 * np.pi * 30 * SECONDS), dtype=np.float32),
    "high": np.asarray(np.sin(2 * np.pi * 3000 * SECONDS), dtype=np.float32),
    "lowest pitch": np.asarray(np.sign(np.sin(2 * np.pi * 60 * SECONDS)) * 0.5, dtype=np.float32),
    "highest pitch": np.asarray(np.sign(np.sin(2 * np.pi * 500 * SECONDS)) * 0.5, dtype=np.float32),
    "siren": np.asarray(np.sin(2 * np.pi * 275 * SECONDS + 50 * np.sin(2 * np.pi * 0.7 * SECONDS)), dtype=np.float32),
}
WORDS = (Word("lovely", 0.0, 0.0, 0.0), Word("day", 0.0, 1e6, 1.0))
TEXTS: dict[str, TranscribedText] = {
    "nothing": TranscribedText(""),
    "spaces": TranscribedText(" \n\t"),
    "a letter": TranscribedText("a"),
    "numbers": TranscribedText("12 34"),
    "sentence": TranscribedText("i really love the lovely weather today", (), "en"),
    "words": TranscribedText("lovely day", WORDS, "en"),
    "instant": TranscribedText("lovely day", tuple(Word(text, 1.0, 1.0, 1.0) for text in ("lovely", "day")), "en"),
    "emoji": TranscribedText("😀 👍🏽 \u202e ü", (), "en"),
    "surrogate": TranscribedText("b\ud800ad text with words", (), "en"),
    "Japanese": TranscribedText("今日は とても いい 天気 ですね"),
    "long": TranscribedText("very " * 3_000 + "good", (), "en"),
}


def engine(table: dict[str, str], name: str, folder: Path) -> Any:
    options: dict[str, Any] = {}
    if name == "onnx":
        options = {"weights": build_tiny_classifier(folder / "model.onnx"), "attribute": "emotion", "labels": LABELS, "batch": 3}
    if name == "speechbrain":
        options = {"weights": build_random_ecapa(folder), "attribute": "accent", "labels": LABELS, "channels": 64, "attention": 16}
    try:
        return load("classify", table, name, **options)
    except EngineUnusable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=sorted(ACOUSTIC_ENGINES))
def acoustic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AcousticClassifier:
    found: AcousticClassifier = engine(ACOUSTIC_ENGINES, request.param, tmp_path_factory.mktemp("model"))
    return found


@pytest.fixture(scope="module", params=sorted(TEXT_ENGINES))
def text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    found: TextClassifier = engine(TEXT_ENGINES, request.param, tmp_path_factory.mktemp("model"))
    return found


def check(attributes: Sequence[Attribute], names: Sequence[str], source: Source) -> None:
    """Each in its range, in order, at most once."""
    places = [list(names).index(attribute.name) for attribute in attributes]
    assert places == sorted(set(places))
    for attribute in attributes:
        kind = BY_NAME[attribute.name]
        assert kind.source == source
        assert attribute.unit == kind.unit
        assert 0.0 <= attribute.confidence <= 1.0
        if kind.range is None:
            assert isinstance(attribute.value, str)
            assert attribute.value
            assert not kind.labels or attribute.value in kind.labels
        else:
            assert type(attribute.value) is float
            assert math.isfinite(attribute.value)
            assert kind.range[0] <= attribute.value <= kind.range[1]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", UTTERANCES)
def test_every_sound_gets_an_answer_within_the_table(acoustic: AcousticClassifier, name: str) -> None:
    given = UTTERANCES[name].copy()
    (answer,) = acoustic.classify([given])
    check(answer, acoustic.names, "acoustic")
    assert np.array_equal(given, UTTERANCES[name], equal_nan=True)  # the caller's samples are left alone


@pytest.mark.parametrize("name", ["nothing", "one sample"])
def test_what_is_too_short_has_no_attributes(acoustic: AcousticClassifier, name: str) -> None:
    assert acoustic.classify([UTTERANCES[name]]) == [()]


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_gets_an_answer_within_the_table(text: TextClassifier, name: str) -> None:
    (answer,) = text.classify([TEXTS[name]])
    check(answer, text.names, "text")


@pytest.mark.parametrize("name", ["nothing", "spaces"])
def test_a_text_without_words_has_no_attributes(text: TextClassifier, name: str) -> None:
    assert text.classify([TEXTS[name]]) == [()]


def alike_alone_together_and_at_once(classify: Callable[[Sequence[Any]], list[tuple[Attribute, ...]]], inputs: Sequence[Any]) -> None:
    alone = [classify([one])[0] for one in inputs]
    assert classify(list(inputs)) == alone
    assert classify(list(reversed(inputs))) == alone[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: classify([one])[0], inputs)) == alone


def test_an_answer_depends_on_the_sound_alone(acoustic: AcousticClassifier) -> None:
    alike_alone_together_and_at_once(acoustic.classify, list(UTTERANCES.values()))


def test_an_answer_depends_on_the_text_alone(text: TextClassifier) -> None:
    alike_alone_together_and_at_once(text.classify, list(TEXTS.values()))


def test_no_input_no_answers(acoustic: AcousticClassifier, text: TextClassifier) -> None:
    assert acoustic.classify([]) == []
    assert text.classify([]) == []


def test_producers_never_name_the_same_attribute(acoustic: AcousticClassifier, text: TextClassifier) -> None:
    assert not set(acoustic.names) & set(text.names)
    assert {BY_NAME[name].source for name in acoustic.names} == {"acoustic"}
    assert {BY_NAME[name].source for name in text.names} == {"text"}
    for one in (acoustic, text):
        assert one.engine.name
        assert one.engine.version


def test_speech_gets_every_acoustic_attribute(acoustic: AcousticClassifier, eval_data: Path) -> None:
    (answer,) = acoustic.classify([read_speech(eval_data / "asr/misc/sense_and_sensibility_01_austen_64kb-0880.wav")])
    check(answer, acoustic.names, "acoustic")
    assert {attribute.name for attribute in answer} == set(acoustic.names)
