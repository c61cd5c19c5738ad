"""Quality and exactness of the streaming resampler."""

from __future__ import annotations

import numpy as np
import pytest

from services.denoise.resample import Resampler
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def _tone(frequency_hz: float, rate_hz: int, seconds: float = 1.0) -> bytes:
    return np.rint(16_000 * np.sin(2 * np.pi * frequency_hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype("<i2").tobytes()


def _whole(pcm: bytes, rate_hz: int, channels: int = 1) -> Float32Array:
    resampler = Resampler(rate_hz, channels)
    return np.concatenate((resampler.push(pcm), resampler.finish()))


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_tone_in_the_passband_comes_out_at_its_place_and_level(rate_hz: int) -> None:
    for share in (0.02, 0.3, 0.7, 0.8):
        frequency = share * min(rate_hz, SAMPLE_RATE_HZ) / 2
        out = _whole(_tone(frequency, rate_hz), rate_hz)[1_000:-1_000]
        wanted = 16_000 / 32_768 * np.sin(2 * np.pi * frequency * (np.arange(out.size) + 1_000) / SAMPLE_RATE_HZ)
        error_db = 10 * np.log10(np.mean((out - wanted) ** 2) / np.mean(wanted**2))
        assert error_db < -60, (share, error_db)  # level, place and purity at once


@pytest.mark.parametrize("rate_hz", [22_050, 24_000, 32_000, 44_100, 48_000])
def test_what_16_khz_cannot_hold_is_gone(rate_hz: int) -> None:
    for frequency in (8_200, 9_000, 10_500, 15_000, 21_000):
        if frequency < rate_hz / 2:
            out = _whole(_tone(frequency, rate_hz), rate_hz)[1_000:-1_000]
            assert 10 * np.log10(np.mean(out**2) / (0.5 * (16_000 / 32_768) ** 2) + 1e-12) < (-70 if frequency >= 9_000 else -25)


def test_upsampling_makes_no_images() -> None:
    out = _whole(_tone(3_000, 8_000), 8_000)[1_000:15_000]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(out.size))) ** 2
    frequencies = np.fft.rfftfreq(out.size, 1 / SAMPLE_RATE_HZ)
    assert 10 * np.log10(spectrum[frequencies > 4_500].max() / spectrum.max()) < -70


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_bits_however_the_input_is_cut_and_saved(rate_hz: int, channels: int) -> None:
    random = np.random.default_rng(rate_hz + channels)
    frames = rate_hz // 2 + 37
    pcm = random.integers(-20_000, 20_000, frames * channels, dtype=np.int16).astype("<i2").tobytes()
    whole = _whole(pcm, rate_hz, channels)
    assert whole.size == -(-frames * SAMPLE_RATE_HZ // rate_hz)
    resampler, pieces, at = Resampler(rate_hz, channels), [], 0
    while at < frames:
        count = int(random.choice((1, 2, 80, 441, 2_000)))
        pieces.append(resampler.push(pcm[2 * channels * at : 2 * channels * (at + count)]))
        at += count
        if random.random() < 0.2:
            held, counters = resampler.dump()
            resampler = Resampler(rate_hz, channels)
            resampler.load(held.copy(), list(counters))
    pieces.append(resampler.finish())
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_16_khz_mono_is_untouched() -> None:
    pcm = np.random.default_rng(1).integers(-32_768, 32_767, 5_000, dtype=np.int16)
    assert (np.rint(_whole(pcm.astype("<i2").tobytes(), 16_000) * 32_768).astype(np.int16) == pcm).all()


def test_channels_are_mixed_by_their_mean() -> None:
    frames = np.array([[1_000, 3_000], [-32_768, -32_768], [32_767, -32_767]], dtype="<i2")
    assert (_whole(frames.tobytes(), 16_000, 2) * 32_768).tolist() == [2_000, -32_768, 0]


def test_output_comes_within_the_stated_delay() -> None:
    for rate_hz in RATES:
        resampler = Resampler(rate_hz, 1)
        resampler.push(bytes(2 * rate_hz))
        assert SAMPLE_RATE_HZ - resampler.samples <= resampler.delay_s * SAMPLE_RATE_HZ + 1
        assert resampler.delay_s <= 0.0036


def test_what_is_not_served_is_refused() -> None:
    for rate_hz, channels in ((7_999, 1), (48_001, 1), (16_000, 0)):
        with pytest.raises(ValueError, match="8,000 to 48,000"):
            Resampler(rate_hz, channels)
    with pytest.raises(ValueError, match="whole frames"):
        Resampler(16_000, 2).push(bytes(6))
