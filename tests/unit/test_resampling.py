"""The resampler of speech: one signal however it is cut, of the right length, at the right place and clean."""

from __future__ import annotations

import random

import numpy as np
import pytest

from voxrelay.audio import Float32Array
from voxrelay.resampling import StreamResampler, resample

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 47_999]


def _tone(rate_hz: int, seconds: float = 1.0, frequency_hz: float = 440.0) -> Float32Array:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * seconds)) / rate_hz).astype(np.float32)


def _whole(samples: Float32Array, from_hz: int, to_hz: int) -> Float32Array:
    resampler = StreamResampler(from_hz, to_hz)
    return np.concatenate((resampler.push(samples), resampler.finish()))


@pytest.mark.parametrize("to_hz", RATES_HZ)
def test_a_tone_stays_where_it_is(to_hz: int) -> None:
    output = _whole(_tone(22_050), 22_050, to_hz)
    assert output.size == -(-22_050 * to_hz // 22_050)
    inner = slice(to_hz // 50, -to_hz // 50)
    assert np.abs(output - _tone(to_hz))[inner].max() < 1e-3


@pytest.mark.parametrize("to_hz", RATES_HZ)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_bits_however_it_is_cut(to_hz: int, seed: int) -> None:
    choose = random.Random(seed)
    samples = np.random.default_rng(seed).standard_normal(9_001).astype(np.float32)
    resampler, start, parts = StreamResampler(22_050, to_hz), 0, []
    while start < samples.size:
        length = choose.choice([0, 1, 7, 300, 4_000])
        parts.append(resampler.push(samples[start : start + length]))
        start += length
    parts.append(resampler.finish())
    assert np.array_equal(np.concatenate(parts), _whole(samples, 22_050, to_hz))


@pytest.mark.parametrize("to_hz", RATES_HZ)
def test_it_agrees_with_the_resampler_of_whole_recordings(to_hz: int) -> None:
    samples = np.random.default_rng(5).standard_normal(3_000).astype(np.float32)
    assert np.allclose(_whole(samples, 22_050, to_hz), resample(samples, 22_050, to_hz), atol=1e-4)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    assert np.abs(_whole(_tone(22_050, frequency_hz=6_000.0), 22_050, 8_000)[400:-400]).max() < 1e-3


def test_nothing_gives_nothing() -> None:
    assert _whole(np.zeros(0, dtype=np.float32), 22_050, 16_000).size == 0
