"""Each measure against voices for which it is known."""

from __future__ import annotations

import numpy as np
import pytest

from services.classify.engines.acoustic import SignalClassifier
from services.classify.engines.periods import perturbation
from services.classify.engines.pitch import track_pitch
from tests.unit.classify.voices import harmonics, pulse_train, syllables_at, white_noise
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, level_dbfs
from voxrelay.events import Attribute


def measured(samples: Float32Array) -> dict[str, Attribute]:
    (attributes,) = SignalClassifier().classify([samples])
    return {attribute.name: attribute for attribute in attributes}


def number(samples: Float32Array, name: str) -> float:
    value = measured(samples)[name].value
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("pitch_hz", [65.0, 80.0, 117.3, 200.0, 333.0, 480.0])
def test_pitch_of_a_steady_voice_is_exact_to_a_tenth_of_a_percent(pitch_hz: float) -> None:
    attributes = measured(harmonics(pitch_hz))
    for name in ("pitch_hz", "pitch_mean_hz"):
        assert attributes[name].value == pytest.approx(pitch_hz, rel=0.001, abs=0.06)
        assert attributes[name].confidence > 0.8 or pitch_hz < 80.0
        assert attributes[name].unit == "Hz"
    assert attributes["pitch_range_semitones"].value == pytest.approx(0.0, abs=0.1)


def test_pitch_range_of_an_octaves_glide() -> None:
    seconds = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * 100.0 * 2.0 / np.log(2.0) * (2.0 ** (seconds / 2.0) - 1.0)  # 100 to 200 Hz
    glide = np.asarray(sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12)) * 0.05, dtype=np.float32)
    assert number(glide, "pitch_range_semitones") == pytest.approx(12.0 * 0.9, abs=0.3)
    assert number(glide, "pitch_hz") == pytest.approx(100.0 * np.sqrt(2.0), rel=0.01)


def test_pitch_holds_in_noise_and_costs_confidence() -> None:
    voice = harmonics(150.0)
    noisy = voice + white_noise(voice.size, float(voice.std()) * 0.5)
    assert number(noisy, "pitch_hz") == pytest.approx(150.0, rel=0.005)
    assert measured(noisy)["pitch_hz"].confidence < measured(voice)["pitch_hz"].confidence


@pytest.mark.parametrize("pitch_hz", [90.0, 120.0])
@pytest.mark.parametrize(("jitter", "shimmer"), [(0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (0.0, 5.0), (0.0, 15.0), (2.0, 8.0)])
def test_jitter_and_shimmer_of_pulses(pitch_hz: float, jitter: float, shimmer: float) -> None:
    voice = pulse_train(pitch_hz, jitter_percent=jitter, shimmer_percent=shimmer)
    assert number(voice, "jitter") == pytest.approx(jitter, abs=0.05)
    assert number(voice, "shimmer") == pytest.approx(shimmer, abs=0.9)


def test_periods_of_random_lengths_are_followed_one_by_one() -> None:
    random = np.random.default_rng(5)
    lengths = 130.0 * (1.0 + 0.01 * random.normal(size=200))
    voice = np.zeros(int(lengths.sum()) + 400)
    for place in 200.0 + np.cumsum(lengths):
        around = np.arange(int(place) - 40, int(place) + 40)
        width = (around - place) / 5.0
        voice[around] += 0.3 * np.exp(-(width**2)) * (1.0 - 2.0 * width**2)
    samples = voice.astype(np.float32)
    found = perturbation(samples, track_pitch(samples))
    assert found is not None
    assert found.pairs > 120
    assert found.jitter == pytest.approx(100.0 * float(np.abs(np.diff(lengths)).mean() / lengths.mean()), rel=0.2)


@pytest.mark.parametrize("ratio_db", [10.0, 20.0])
@pytest.mark.parametrize("pitch_hz", [117.3, 200.0, 333.0])
def test_harmonics_to_noise_ratio_is_the_ratio_that_was_mixed(pitch_hz: float, ratio_db: float) -> None:
    voice = harmonics(pitch_hz)
    noisy = voice + white_noise(voice.size, float(voice.std()) * 10.0 ** (-ratio_db / 20.0))
    assert number(noisy, "hnr_db") == pytest.approx(ratio_db, abs=0.7)


@pytest.mark.parametrize("level", [0.5, 0.05, 0.002])
def test_energy_is_the_level_and_pauses_do_not_count(level: float) -> None:
    voice = harmonics(150.0, 1.0, level=0.3 * level)
    silence = np.zeros(2 * SAMPLE_RATE_HZ, dtype=np.float32)
    assert number(np.concatenate((voice, silence)), "energy_dbfs") == pytest.approx(level_dbfs(voice), abs=0.3)


@pytest.mark.parametrize("ratio_db", [10.0, 25.0])
def test_signal_to_noise_ratio_of_speech_with_pauses(ratio_db: float) -> None:
    voice = np.concatenate([part for _ in range(3) for part in (harmonics(150.0, 0.8), np.zeros(8_000, dtype=np.float32))])
    speech_power = float(np.mean(harmonics(150.0, 0.8) ** 2))
    noisy = voice + white_noise(voice.size, float(np.sqrt(speech_power * 10.0 ** (-ratio_db / 10.0))))
    assert number(noisy, "snr_db") == pytest.approx(ratio_db, abs=2.5)


@pytest.mark.parametrize("rate", [2.0, 4.0, 6.0])
def test_syllables_are_counted(rate: float) -> None:
    assert number(syllables_at(rate), "speaking_rate") == pytest.approx(rate, rel=0.1)


def test_pauses_slow_the_speech_down_but_not_the_articulation() -> None:
    voice = np.concatenate((syllables_at(4.0, 2.0), np.zeros(2 * SAMPLE_RATE_HZ, dtype=np.float32), syllables_at(4.0, 2.0)))
    assert number(voice, "articulation_rate") == pytest.approx(4.0, rel=0.15)
    assert number(voice, "speaking_rate") == pytest.approx(4.0 * 2 / 3, rel=0.15)


@pytest.mark.parametrize(("pitch_hz", "gender"), [(95.0, "male"), (120.0, "male"), (210.0, "female"), (250.0, "female")])
def test_gender_follows_the_pitch(pitch_hz: float, gender: str) -> None:
    assert measured(harmonics(pitch_hz))["gender"].value == gender
    assert measured(harmonics(pitch_hz))["gender"].confidence > 0.8


def test_gender_between_both_is_hardly_more_than_a_coin() -> None:
    assert measured(harmonics(159.0))["gender"].confidence < 0.55


def test_noise_has_a_level_and_nothing_else() -> None:
    assert set(measured(white_noise(48_000, 0.1))) == {"energy_dbfs"}


def test_silence_has_a_level_and_nothing_else() -> None:
    assert measured(np.zeros(48_000, dtype=np.float32))["energy_dbfs"].value == -120.0
    assert set(measured(np.zeros(48_000, dtype=np.float32))) == {"energy_dbfs"}


@pytest.mark.parametrize("samples", [0, 1, 159, 639])
def test_too_short_for_anything(samples: int) -> None:
    assert measured(np.full(samples, 0.5, dtype=np.float32)) == {}


def test_a_word_that_is_too_short_for_a_rate_has_a_pitch() -> None:
    found = measured(harmonics(140.0, 0.25))
    assert "pitch_hz" in found
    assert not {"speaking_rate", "gender", "snr_db", "pitch_range_semitones"} & set(found)


def test_a_longer_measurement_is_trusted_more() -> None:
    short, long = measured(pulse_train(110.0, 0.4)), measured(pulse_train(110.0, 4.0))
    for name in ("pitch_hz", "gender", "jitter", "shimmer", "hnr_db", "energy_dbfs"):
        assert short[name].confidence < long[name].confidence, name
