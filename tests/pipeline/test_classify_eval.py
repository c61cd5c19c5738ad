"""The bundled acoustic classifier on real speech: gender, syllables, levels. Bounds leave room for other machines, not for other results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.classify.engines.acoustic import SignalClassifier
from services.classify.stage import AcousticStage
from tests.speech import read_speech
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.events import (
    Attribute,
    AudioDenoised,
    Event,
    Payload,
    SegmentClassified,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.models.slot import EngineSlot

LONGEST_S = 30.0


def references(eval_data: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((eval_data / name).read_text(encoding="utf-8"))
    return found


def measured(samples: Float32Array) -> dict[str, Attribute]:
    (attributes,) = SignalClassifier().classify([samples])
    return {attribute.name: attribute for attribute in attributes}


def number(attributes: dict[str, Attribute], name: str) -> float:
    value = attributes[name].value
    assert isinstance(value, float)
    return value


@pytest.fixture(scope="module")
def read_aloud(eval_data: Path) -> list[tuple[str, dict[str, Attribute]]]:
    """Sex and attributes of calmly read clips, one to three a speaker."""
    entries = references(eval_data, "emotion_or_attributes/gender.json")
    return [(entry["gender"], measured(read_speech(eval_data / entry["file"]))) for entry in entries]


def test_gender_of_calm_readers_is_right_nine_times_in_ten(read_aloud: list[tuple[str, dict[str, Attribute]]]) -> None:
    right = [str(attributes["gender"].value)[0].upper() == sex for sex, attributes in read_aloud]
    assert sum(right) >= 0.9 * len(right)


def test_gender_is_surer_where_it_is_right(read_aloud: list[tuple[str, dict[str, Attribute]]]) -> None:
    right, wrong = (
        [attributes["gender"].confidence for sex, attributes in read_aloud if (str(attributes["gender"].value)[0].upper() == sex) is hit]
        for hit in (True, False)
    )
    assert not wrong or np.mean(right) > np.mean(wrong)


def test_readers_voices_have_every_measure_in_a_human_range(read_aloud: list[tuple[str, dict[str, Attribute]]]) -> None:
    for _, attributes in read_aloud:
        assert set(attributes) == set(SignalClassifier.names)
        assert 70.0 < number(attributes, "pitch_hz") < 300.0
        assert 1.5 < number(attributes, "articulation_rate") < 7.0
        assert 0.3 < number(attributes, "jitter") < 5.0
        assert 3.0 < number(attributes, "shimmer") < 20.0
        assert 2.0 < number(attributes, "hnr_db") < 25.0
        assert number(attributes, "articulation_rate") >= number(attributes, "speaking_rate")


def _syllables(text: str) -> int:
    """Of English text, roughly: groups of vowels, less a silent e."""
    count = 0
    for word in re.findall(r"[a-z']+", text.lower()):
        silent = word.endswith("e") and len(word) > 3 and not word.endswith("le")
        count += max(1, len(re.findall(r"[aeiouy]+", word)) - silent)
    return count


def test_speaking_rate_follows_the_text(eval_data: Path) -> None:
    entries = [entry for entry in references(eval_data, "asr/references.json") if entry["text"] and 3.0 <= entry["duration"] <= LONGEST_S][::2]
    heard = np.array([number(measured(read_speech(eval_data / entry["file"])), "speaking_rate") for entry in entries])
    said = np.array([_syllables(entry["text"]) / entry["duration"] for entry in entries])
    assert len(entries) > 20
    assert float(np.corrcoef(heard, said)[0, 1]) > 0.7
    assert float(np.abs(heard / said - 1.0).mean()) < 0.2


def test_level_follows_the_gain_and_nothing_else_does(eval_data: Path) -> None:
    speech = read_speech(eval_data / "asr/misc/sense_and_sensibility_01_austen_64kb-0880.wav")
    loud, soft = measured(speech), measured(np.asarray(speech * np.float32(0.25)))
    assert number(loud, "energy_dbfs") - number(soft, "energy_dbfs") == pytest.approx(12.04, abs=0.11)
    for name in ("pitch_hz", "speaking_rate", "jitter", "shimmer", "hnr_db"):
        assert number(soft, name) == pytest.approx(number(loud, name), rel=0.02)


def test_signal_to_noise_ratio_falls_as_noise_is_mixed_in(eval_data: Path) -> None:
    speech = read_speech(eval_data / "emotion_or_attributes/gender-librispeech/M/1624-142933-0000.flac")
    level = float(np.sqrt(np.mean(speech**2)))
    noise = np.random.default_rng(3).normal(size=speech.size) * level
    ratios = [number(measured(np.asarray(speech + noise * 10.0 ** (-ratio_db / 20.0), dtype=np.float32)), "snr_db") for ratio_db in (0, 10, 20)]
    assert ratios == sorted(ratios)
    assert ratios[1] == pytest.approx(10.0, abs=5.0)
    assert ratios[2] - ratios[0] > 10.0


def test_the_stage_says_of_real_speech_what_the_engine_says_however_it_is_cut(eval_data: Path) -> None:
    speech = read_speech(eval_data / "emotion_or_attributes/gender-librispeech/F/1088-129236-0000.flac")
    end = speech.size - SAMPLE_RATE_HZ // 2
    answers = []
    for step in (SAMPLE_RATE_HZ // 50, SAMPLE_RATE_HZ // 10, SAMPLE_RATE_HZ):
        chunks = [AudioDenoised(at, pcm_s16le_from_float32(speech[at : at + step])) for at in range(0, speech.size, step)]
        payloads: list[Payload] = [
            SessionOpened(SessionConfig()), chunks[0], UtteranceStarted("u1", 0), *chunks[1:], UtteranceEnded("u1", 0, end), SessionEnded()
        ]  # fmt: skip
        stage = AcousticStage(EngineSlot("classify", SignalClassifier()))
        results = [event.payload for event in stage.process([Event("s", payload) for payload in payloads])]
        answers += [result.attributes for result in results if isinstance(result, SegmentClassified) and result.is_final]
    assert len(answers) == 3
    assert all(answer == SignalClassifier().classify([speech[:end]])[0] for answer in answers)
