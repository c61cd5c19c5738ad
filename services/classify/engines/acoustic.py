"""How an utterance sounds, by signal processing alone: no model, no weights, and little time (half a percent of the audio's).

A confidence says how far the number can be trusted, from what it was measured on: more voiced sound and clearer periods give more.
docs/attributes.md has each one's rule. It is no probability that was calibrated on data, but for ``gender``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log2, log10

import numpy as np

from services.classify.engines.periods import Perturbation, perturbation
from services.classify.engines.pitch import PitchTrack, track_pitch
from services.classify.engines.rhythm import FLOOR_DBFS, Loudness, decibels, loudness, speaking_s, syllables
from voxrelay.attributes import BY_NAME, names
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Attribute, Engine

VERSION = "1"  # counted up whenever a result changes
LEAST_VOICED_S = 0.1
LEAST_RANGE_S = 0.5
LEAST_GENDER_S = 0.3
LEAST_RATE_S = 1.0
LEAST_SYLLABLES = 3
LEAST_SNR_S = 0.5
LEAST_PAIRS = 10
LEAST_HNR_FRAMES = 10
LOWEST_HNR_HZ = 75.0  # three periods in a window, as Boersma asks: with fewer the peak is overrated
QUIETEST_SHARE = 0.1  # of the frames, taken for the background
PAUSE_DB = 10.0  # a frame so far below the speech holds background
TYPICAL_MALE_HZ, TYPICAL_FEMALE_HZ = 120.0, 210.0
SPREAD_SEMITONES = 4.5  # around those, of speakers of one sex and of one speaker in different moods
GENDER_CEILING = 0.9  # children and unusual voices are in neither distribution


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the attributes of one utterance are read from."""

    duration_s: float
    track: PitchTrack
    loud: Loudness
    perturbation: Perturbation | None


class SignalClassifier:
    """An ``AcousticClassifier``. It holds no state at all."""

    engine = Engine("dsp", VERSION)
    names = tuple(name for name in names("acoustic") if not BY_NAME[name].is_learnt)

    def classify(self, utterances: Sequence[Float32Array]) -> list[tuple[Attribute, ...]]:
        return [self._classify(samples) for samples in utterances]

    def _classify(self, samples: Float32Array) -> tuple[Attribute, ...]:
        samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
        samples = samples - samples.mean(dtype=np.float64).astype(np.float32) if samples.size else samples
        track, loud = track_pitch(samples), loudness(samples)
        measured = _Measured(samples.size / SAMPLE_RATE_HZ, track, loud, perturbation(samples, track))
        found = {
            one.name: one
            for one in (*_pitch(measured), *_gender(measured), *_level(measured), *_snr(measured), *_rates(measured), *_voice_quality(measured))
        }
        return tuple(found[name] for name in self.names if name in found)


def _number(name: str, value: float, confidence: float, digits: int) -> Attribute:
    kind = BY_NAME[name]
    lowest, highest = kind.range or (-np.inf, np.inf)
    return Attribute(name, round(float(np.clip(value, lowest, highest)), digits), _confidence(confidence), kind.unit)


def _confidence(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 3)


def _amount(measured: float, half: float) -> float:
    """0 for nothing, 1/2 for ``half``, towards 1 for much."""
    return measured / (measured + half)


def _pitch(measured: _Measured) -> list[Attribute]:
    track = measured.track
    if track.voiced_s < LEAST_VOICED_S:
        return []
    pitch_hz = track.pitch_hz[track.is_voiced]
    clearness = float(track.periodicity[track.is_voiced].mean())
    confidence = clearness * _amount(track.voiced_s, 0.1)
    found = [_number("pitch_hz", float(np.median(pitch_hz)), confidence, 1), _number("pitch_mean_hz", float(pitch_hz.mean()), confidence, 1)]
    if track.voiced_s >= LEAST_RANGE_S:
        low, high = np.quantile(pitch_hz, (0.05, 0.95))
        found.append(_number("pitch_range_semitones", 12.0 * log2(high / low), clearness * _amount(track.voiced_s, 0.5), 2))
    return found


def _gender(measured: _Measured) -> list[Attribute]:
    """Two normal distributions of equal width over the logarithm of the median pitch; both sexes as likely beforehand."""
    track = measured.track
    if track.voiced_s < LEAST_GENDER_S:
        return []
    semitones = 12.0 * log2(float(np.median(track.pitch_hz[track.is_voiced])))
    male, female = 12.0 * log2(TYPICAL_MALE_HZ), 12.0 * log2(TYPICAL_FEMALE_HZ)
    female_share = 1.0 / (1.0 + exp(-(semitones - (male + female) / 2.0) * (female - male) / SPREAD_SEMITONES**2))
    label, probability = ("female", female_share) if female_share >= 0.5 else ("male", 1.0 - female_share)
    confidence = 0.5 + (min(probability, GENDER_CEILING) - 0.5) * _amount(track.voiced_s, 0.1)
    return [Attribute("gender", label, _confidence(confidence))]


def _level(measured: _Measured) -> list[Attribute]:
    power = measured.loud.power
    if power.size == 0:
        return []
    sounding = measured.loud.sounding
    level = float(decibels(power[sounding].mean())) if sounding.any() else FLOOR_DBFS
    return [_number("energy_dbfs", level, _amount(power.size / 100.0, 0.05), 1)]


def _snr(measured: _Measured) -> list[Attribute]:
    """Speech is where there is sound, the background the quietest tenth."""
    power, sounding = measured.loud.power, measured.loud.sounding
    if measured.duration_s < LEAST_SNR_S or measured.track.voiced_s < LEAST_VOICED_S:
        return []
    loud = float(power[sounding].mean())
    background = float(np.sort(power)[: max(1, int(QUIETEST_SHARE * power.size))].mean())
    ratio = max(loud - background, 0.0) / max(background, 1e-12)
    paused_s = float(np.count_nonzero(power < loud * 10.0 ** (-PAUSE_DB / 10.0))) / 100.0
    return [_number("snr_db", 10.0 * log10(max(ratio, 1.0)), _amount(paused_s, 0.3), 1)]


def _rates(measured: _Measured) -> list[Attribute]:
    """Confidence stays below 0.8: the method's counts correlate with people's by 0.7 to 0.9 (de Jong and Wempe)."""
    count = syllables(measured.loud, measured.track)
    spoken_s = speaking_s(measured.loud)
    if measured.duration_s < LEAST_RATE_S or count < LEAST_SYLLABLES or spoken_s <= 0.0:
        return []
    confidence = 0.8 * _amount(count, 4.0)
    return [
        _number("speaking_rate", count / measured.duration_s, confidence, 2),
        _number("articulation_rate", count / spoken_s, confidence, 2),
    ]


def _voice_quality(measured: _Measured) -> list[Attribute]:
    found = []
    periods = measured.perturbation
    if periods is not None and periods.pairs >= LEAST_PAIRS:
        confidence = periods.match * _amount(periods.pairs, 30.0)
        found += [_number("jitter", periods.jitter, confidence, 3), _number("shimmer", periods.shimmer, confidence, 2)]
    height = measured.track.periodicity[measured.track.pitch_hz >= LOWEST_HNR_HZ]
    if height.size >= LEAST_HNR_FRAMES:
        height = np.clip(height, 0.01, 0.9999)
        found.append(_number("hnr_db", float(decibels(height / (1.0 - height)).mean()), _amount(height.size, 20.0), 1))
    return found
