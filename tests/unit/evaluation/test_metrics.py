"""The yardsticks themselves: answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.items import Turn
from evaluation.metrics.dnsmos import SCALES, WINDOW_SAMPLES, Dnsmos
from evaluation.metrics.signals import has_pesq, pesq, si_sdr_db, stoi
from evaluation.metrics.speakers import speaker_errors, speech_errors
from evaluation.metrics.verification import area_under_curve, balanced_accuracy, equal_error_rate
from evaluation.metrics.words import alignment, word_errors
from voxrelay.audio import Float32Array


def noise(seed: int, size: int = 32_000) -> Float32Array:
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32) * np.float32(0.1)


def test_word_errors() -> None:
    assert word_errors("The cat sat.", "the cat sat").errors == 0
    assert word_errors("the cat sat on the mat", "the bat sat the mat now").errors == 3  # bat for cat, on left out, now put in
    assert word_errors("a b c", "").rate == 1.0
    assert (word_errors("", "three false words").errors, word_errors("", "x").words) == (3, 0)
    assert word_errors("Größe zählt, don’t it", "größe zählt don't it").errors == 0


def test_an_alignment_marks_what_differs() -> None:
    lines = alignment("the cat sat", "the bat sat down").splitlines()
    assert [line[:4] for line in lines[:2]] == ["REF:", "HYP:"]
    assert lines[2].split() == ["S", "I"]
    assert lines[1][lines[2].index("S")] in "bat"
    assert alignment("", "hello") == "REF:\nHYP: hello\n"


def test_speaker_errors_do_not_mind_names_and_take_the_best_assignment() -> None:
    reference = [Turn("anna", 0, 10), Turn("bert", 10, 16)]
    assert speaker_errors(reference, [Turn("S2", 0, 10), Turn("S1", 10, 16)], 16).rate == 0.0
    one = speaker_errors(reference, [Turn("S1", 0, 16)], 16)
    assert (one.confused_s, one.rate) == (6.0, 6 / 16)
    assert one.jaccard == pytest.approx((6 / 16 + 1.0) / 2)  # of anna's 16 s together 10 are right; bert has nobody


def test_missed_false_and_overlapped_speech() -> None:
    scored = speaker_errors([Turn("anna", 0, 4), Turn("bert", 3, 6)], [Turn("S1", 0, 3), Turn("S2", 4, 8)], 10)
    assert (scored.spoken_s, scored.missed_s, scored.false_alarm_s, scored.confused_s) == (7.0, 2.0, 2.0, 0.0)
    assert speaker_errors([Turn("anna", 0, 4)], [], 4).rate == 1.0
    assert speaker_errors([], [], 4).rate == 0.0


def test_speech_against_silence() -> None:
    scored = speech_errors([Turn("anna", 1, 4), Turn("bert", 3, 5)], [(0.0, 2.0), (4.5, 6.0)], 10)
    assert (scored.spoken_s, scored.missed_s, scored.false_alarm_s) == (4.0, 2.5, 2.0)


def test_si_sdr_minds_noise_and_not_loudness() -> None:
    clean, other = noise(0), noise(1)
    assert si_sdr_db(clean, clean + 0.1 * other) == pytest.approx(20.0, abs=0.2)
    assert si_sdr_db(clean, 7.0 * (clean + 0.1 * other)) == pytest.approx(20.0, abs=0.2)


def test_intelligibility_falls_with_noise_and_short_audio_has_none() -> None:
    clean = noise(0)
    assert stoi(clean, clean) == pytest.approx(1.0, abs=0.01)
    assert (stoi(clean, clean + noise(1)) or 1.0) < 0.9
    assert stoi(clean[:1000], clean[:1000]) is None


@pytest.mark.skipif(not has_pesq(), reason="pesq is compiled when it is installed, and is not here: pip install 'voxrelay[pesq]'")
def test_perceived_quality_of_the_same_audio_is_the_best_there_is() -> None:
    clean = noise(0)
    assert pesq(clean, clean) == pytest.approx(4.64, abs=0.01)
    assert pesq(np.zeros(32_000, np.float32), np.zeros(32_000, np.float32)) is None


def test_equal_error_rate_lies_where_both_errors_meet() -> None:
    assert equal_error_rate([True, True, False, False], [0.9, 0.8, 0.2, 0.1])[0] == 0.0
    assert equal_error_rate([False, False, True, True], [0.9, 0.8, 0.2, 0.1])[0] == 1.0
    rate, threshold = equal_error_rate([True, True, True, True, False, False, False, False], [0.9, 0.8, 0.7, 0.4, 0.5, 0.3, 0.2, 0.1])
    assert rate == 0.25  # at 0.5: one speaker of four refused, one impostor of four accepted
    assert 0.4 <= threshold <= 0.7
    with pytest.raises(ValueError):
        equal_error_rate([True, True], [0.1, 0.2])


def test_area_and_balanced_accuracy() -> None:
    assert area_under_curve([True, False, True, False], [0.9, 0.1, 0.4, 0.6]) == 0.75  # of four pairs one is the wrong way round
    assert area_under_curve([True, True], [0.1, 0.2]) is None
    assert balanced_accuracy(["f", "f", "f", "m"], ["f", "f", "m", "m"]) == pytest.approx((2 / 3 + 1) / 2)


def test_dnsmos_scales_what_the_network_answers_and_hears_nine_seconds_at_a_time() -> None:
    heard: list[Float32Array] = []

    class Network:
        def run(self, feed: dict[str, Float32Array]) -> list[Float32Array]:
            heard.append(feed["input_1"])
            return [np.array([[1.0, 2.0, 3.0]], np.float32)]

    listeners = object.__new__(Dnsmos)
    listeners._model = Network()  # type: ignore[assignment]
    rated = listeners.rate(noise(2, WINDOW_SAMPLES + 2 * 16_000))
    assert [one.shape for one in heard] == [(1, WINDOW_SAMPLES)] * 3
    assert rated["SIG"] == pytest.approx(sum(SCALES["SIG"]))  # at 1 a polynomial is the sum of its coefficients
    assert rated["OVRL"] == pytest.approx(9 * -0.06766283 + 3 * 1.11546468 + 0.04602535)
    listeners.rate(noise(2, 16_000))
    assert heard[-1].shape == (1, WINDOW_SAMPLES)
    assert listeners.rate(np.zeros(0, np.float32)) == {}
