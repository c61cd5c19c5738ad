"""Every encoding and container that speech can be had in: what comes out is decoded with libav and is the sound that went in, as it went in."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from services.gateway.audio.encode import ENCODINGS, FORMATS, Sound, StreamEncoder

RATE_HZ = 24_000
SECONDS = 3.0
PIECE = 4800  # 200 ms


def _speech(rate_hz: int) -> np.ndarray:
    """A tone that swells and fades twice a second."""
    at = np.arange(int(SECONDS * rate_hz)) / rate_hz
    return (np.sin(2 * np.pi * 440 * at) * np.sin(2 * np.pi * at) ** 2 * 12_000).astype("<i2")


def _encoded(sound: Sound, rate_hz: int) -> list[bytes]:
    encoder = StreamEncoder(sound, rate_hz)
    samples = _speech(rate_hz)
    step = rate_hz // 5
    pieces = [encoder.feed(samples[start : start + step].tobytes()) for start in range(0, samples.size, step)]
    return [*pieces, encoder.finish()]


def _decoded(data: bytes, sound: Sound, rate_hz: int) -> tuple[int, np.ndarray]:
    """Rate and samples, as libav reads the file; bare samples need to be told what they are."""
    bare = ENCODINGS[sound.encoding].sample_bytes and not sound.is_wav
    options = {"sample_rate": str(rate_hz), "ch_layout": "mono"} if bare else {}
    with av.open(io.BytesIO(data), format=ENCODINGS[sound.encoding].muxer if bare else None, options=options) as container:
        resampler = av.AudioResampler("s16", "mono", container.streams.audio[0].rate)
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        return container.streams.audio[0].rate, np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _envelope(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Level of every tenth of a second of what was spoken."""
    step = rate_hz // 10
    whole = samples[: int(SECONDS * 10) * step].astype(float)
    return np.sqrt((whole.reshape(-1, step) ** 2).mean(axis=1))


ALL = [*FORMATS.values(), Sound("mulaw", is_wav=True), Sound("alaw", is_wav=True), Sound("mp3", bit_rate=32_000), Sound("opus", bit_rate=12_000)]


@pytest.mark.parametrize("sound", ALL, ids=str)
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 48_000])
def test_what_is_decoded_is_what_was_spoken(sound: Sound, rate_hz: int) -> None:
    rate, samples = _decoded(b"".join(_encoded(sound, rate_hz)), sound, rate_hz)
    assert rate == sound.rate_near(rate_hz)
    assert SECONDS - 0.001 <= samples.size / rate <= SECONDS + 0.2
    spoken = _envelope(_speech(rate_hz), rate_hz)
    offsets = range(0, rate // 5, rate // 200)  # a codec keeps some samples before the first
    padded = np.concatenate((samples, np.zeros(rate // 2, dtype=samples.dtype)))
    errors = [np.abs(_envelope(padded[offset:], rate) - spoken).max() for offset in offsets]
    assert min(errors) < 0.1 * spoken.max()


@pytest.mark.parametrize("sound", ALL, ids=str)
def test_nothing_waits_for_the_end(sound: Sound) -> None:
    pieces = _encoded(sound, RATE_HZ)
    assert pieces[0]
    sizes = np.array([len(piece) for piece in pieces])
    for upto in range(3, len(pieces) - 1):  # after n pieces at most 400 ms are kept
        assert sizes[:upto].sum() > 0.5 * sizes[1:-1].mean() * (upto - 2)
    assert sizes[-1] < 0.4 * sizes.sum()


@pytest.mark.parametrize("sound", ALL, ids=str)
def test_what_has_come_so_far_can_be_played(sound: Sound) -> None:
    pieces = _encoded(sound, RATE_HZ)
    rate, samples = _decoded(b"".join(pieces[:8]), sound, RATE_HZ)
    assert samples.size / rate > 1.0


@pytest.mark.parametrize("sound", ALL, ids=str)
def test_a_file_in_which_nothing_is_said_ends_well(sound: Sound) -> None:
    encoder = StreamEncoder(sound, RATE_HZ)
    data = encoder.feed(b"") + encoder.finish()
    assert sound.is_wav is (data[:4] == b"RIFF")


@pytest.mark.parametrize(("asked_hz", "given_hz"), [(7_000, 8_000), (22_050, 22_050), (23_000, 24_000), (50_000, 48_000)])
def test_a_rate_the_codec_lacks_becomes_the_next(asked_hz: int, given_hz: int) -> None:
    assert Sound("mp3").rate_near(asked_hz) == given_hz


def test_media_types_of_bare_samples_say_what_they_are() -> None:
    assert FORMATS["pcm"].typed(8000) == "audio/L16;rate=8000;channels=1"
    assert FORMATS["wav"].typed(8000) == "audio/wav"
    assert FORMATS["opus"].typed(48_000) == "audio/ogg"
