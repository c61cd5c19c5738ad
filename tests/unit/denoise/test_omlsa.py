"""The suppressor alone: what it gains, what it leaves alone, and that its bits depend on nothing but the session's audio."""

from __future__ import annotations

import numpy as np
import pytest

from services.denoise.engine import HOP_SAMPLES, Passage
from services.denoise.engines.omlsa import OmlsaSuppressor, exponential_of_integral
from tests.unit.denoise.speechlike import bursts, white_noise
from voxrelay.audio import Float32Array


def _cleaned(samples: Float32Array, strength: float) -> Float32Array:
    suppressor = OmlsaSuppressor()
    tail = suppressor.delay_samples + -(samples.size + suppressor.delay_samples) % HOP_SAMPLES
    padded = np.concatenate((samples, np.zeros(tail, dtype=np.float32)))
    strengths = np.full(padded.size // HOP_SAMPLES, strength, dtype=np.float32)
    return suppressor.process([Passage(suppressor.open(), padded, strengths)])[0][: samples.size]


def test_noise_falls_and_the_tones_stay() -> None:
    clean = bursts([(1.0, 1.5), (0.8, 1.0), (1.0, 0.0)], noise_dbfs=-120)
    noisy = clean + white_noise(clean.size / 16_000, -40, seed=3)
    out = _cleaned(noisy, 1.0)
    pause, tone = slice(int(4.6 * 16_000), int(5.2 * 16_000)), slice(int(1.5 * 16_000), int(2.4 * 16_000))
    assert 10 * np.log10(np.mean(noisy[pause] ** 2) / np.mean(out[pause] ** 2)) > 12
    assert abs(10 * np.log10(np.mean(out[tone] ** 2) / np.mean(clean[tone] ** 2))) < 1


def test_strength_orders_what_is_left_of_the_noise() -> None:
    noise = white_noise(3.0, -30, seed=5)
    left = [np.mean(_cleaned(noise, strength)[16_000:] ** 2) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert left == sorted(left, reverse=True)


def test_at_strength_0_every_16_bit_sample_comes_back() -> None:
    pcm = np.random.default_rng(4).integers(-32_768, 32_767, 30_001, dtype=np.int16)
    assert (np.rint(_cleaned(pcm.astype(np.float32) / 32_768, 0.0) * 32_768).astype(np.int64) == pcm).all()


def test_digital_silence_and_full_scale_stay_finite() -> None:
    loud = np.concatenate((np.zeros(16_000), np.ones(8_000), -np.ones(8_000), np.zeros(16_000))).astype(np.float32)
    out = _cleaned(loud, 1.0)
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 2.0


def test_the_integral_has_its_tabled_values() -> None:
    x = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 5.0], dtype=np.float32)
    tabled = np.exp([4.037929, 1.822924, 0.559774, 0.219384, 0.048900, 0.001148])  # Abramowitz and Stegun, table 5.1
    assert exponential_of_integral(x, np.exp(-x)) == pytest.approx(tabled, rel=5e-5)


def test_the_integral_goes_on_where_the_table_ends() -> None:
    least, most = np.array([1e-6], dtype=np.float32), np.array([1000.0], dtype=np.float32)
    assert exponential_of_integral(least, np.exp(-least)) == pytest.approx(np.exp(-np.euler_gamma) / least, rel=5e-5)
    assert exponential_of_integral(most, np.exp(-most)) == pytest.approx(1.0)
