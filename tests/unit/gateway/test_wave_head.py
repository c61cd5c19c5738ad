"""The head of a live WAV stream: what is read here goes on at once, what is not goes to libav."""

from __future__ import annotations

import io
import json
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.audio.wave_head import MOST_HEAD_BYTES, Incomplete, WaveDecoder, WaveHead, read_head
from services.gateway.server import GatewayServer
from tests.unit.gateway.test_native import RATE_HZ, dial, everything, of


def head(tag: int = 1, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16, size: int = 0xFFFFFFFF, extra: bytes = b"") -> bytes:
    step = channels * bits // 8
    layout = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * step, step, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(layout)) + layout + extra + b"data" + struct.pack("<I", size)


def test_what_the_head_says() -> None:
    assert read_head(head()) == WaveHead("linear16", RATE_HZ, 1, 44, None)
    assert read_head(head(size=6)) == WaveHead("linear16", RATE_HZ, 1, 44, 6)
    assert read_head(head(7, 2, 8000, 8, extra=b"LIST\x03\0\0\0abc\0")) == WaveHead("mulaw", 8000, 2, 56, None)
    layout = struct.pack("<HHIIHH", 0xFFFE, 1, RATE_HZ, 4 * RATE_HZ, 4, 32) + struct.pack("<HHI", 22, 32, 4) + struct.pack("<H", 3) + bytes(14)
    extensible = b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + bytes(4)
    assert read_head(extensible) == WaveHead("float32", RATE_HZ, 1, 68, None)


@pytest.mark.parametrize(
    "other",
    [
        b"OggS" + bytes(60),
        head(bits=24),
        head(2, bits=4),
        head(rate_hz=96_000),
        head(rate_hz=1),
        head(channels=0),
        head(channels=9),
        head()[:12] + head()[36:],
    ],
)
def test_the_rest_is_left_to_libav(other: bytes) -> None:
    assert read_head(other) is None


@given(st.integers(0, 43))
def test_a_head_that_is_not_there_yet_is_waited_for(length: int) -> None:
    if length < 12:
        assert read_head(head()[:length]) is None
    else:
        with pytest.raises(Incomplete):
            read_head(head()[:length])


@given(st.binary(max_size=200))
def test_no_bytes_break_it(rest: bytes) -> None:
    try:
        found = read_head(b"RIFF" + bytes(4) + b"WAVE" + rest)
    except Incomplete:
        assert len(rest) < MOST_HEAD_BYTES
    else:
        assert found is None or found.start <= len(rest) + 12


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_samples_come_whole_however_the_stream_is_cut(steps: list[int]) -> None:
    samples = bytes(range(200))
    data = head(size=len(samples)) + samples + b"LIST trailing"
    found = read_head(data)
    assert found is not None
    decoder, heard, at = WaveDecoder(found, is_mixed=True), b"", 0
    for step in (*steps, len(data)):
        heard += decoder.feed(data[at : at + step])
        at += step
    assert heard == samples


def test_channels_are_mixed_wherever_the_stream_is_cut() -> None:
    frames = np.array([[100, 300], [-5, 5], [32767, 32767], [-32768, 0]], dtype="<i2")
    decoder = WaveDecoder(WaveHead("linear16", RATE_HZ, 2, 0, None), is_mixed=True)
    heard = b"".join(decoder.feed(bytes([byte])) for byte in frames.tobytes())
    assert np.frombuffer(heard, dtype="<i2").tolist() == [200, 0, 32767, -16384]


@pytest.mark.conformance("native", "WAV sent live, without waiting for more than its head", "done")
async def test_the_first_second_of_a_wav_is_heard_before_the_second_comes(gateway: GatewayServer) -> None:
    second = np.zeros(RATE_HZ, dtype="<i2").tobytes()
    async with dial(gateway) as socket:
        for piece in (head()[:20], head()[20:] + second + second[:1000]):
            await socket.send(piece)
        while (message := json.loads(await socket.recv()))["type"] != "final":
            pass
        assert message["transcript"] == "hello u1"
        await socket.send(second[1000:])
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert [final["transcript"] for final in of(messages, "final")] == ["hello u2"]
    assert messages[-1]["audio_seconds"] == 2.0


async def test_channels_of_a_wav_are_mixed_to_one(gateway: GatewayServer) -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000 * 4 * 2))
    async with dial(gateway) as socket:
        await socket.send(buffer.getvalue())
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert messages[-1]["audio_seconds"] == 2.0
    assert len(of(messages, "final")) == 2
