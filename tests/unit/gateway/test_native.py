"""The native protocol over a real WebSocket, as protocols/native.md has it, good input and bad."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import socket as socket_module
import wave
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway.server import GatewayServer
from services.gateway.sockets import writer
from voxrelay.storage.access import AccessStore

RATE_HZ = 16_000
SECOND = bytes(2 * RATE_HZ)


def dial(gateway: GatewayServer, query: str = "", **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe{query}", compression=None, **options)


async def configure(socket: ClientConnection, **config: Any) -> None:
    await socket.send(json.dumps({"type": "configure", "config": config}))


async def everything(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    messages = []
    try:
        async with asyncio.timeout(20):
            async for text in socket:
                messages.append(json.loads(text))
    except ConnectionClosed:
        pass
    return messages


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


async def test_a_whole_session(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await configure(socket, encoding="linear16", sample_rate=RATE_HZ)
        for _ in range(25):
            await socket.send(SECOND[: len(SECOND) // 10])
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
        assert socket.close_code == 1000
    assert messages[0]["type"] == "session"
    assert messages[-1] == {"type": "closed", "audio_seconds": 2.5, "sequence": 4}
    finals = of(messages, "final")
    assert [final["transcript"] for final in finals] == ["hello u1", "hello u2", "hello u3"]
    assert [final["speaker"] for final in finals] == ["S1", "S2", "S1"]
    assert finals[0]["words"][0] == {"word": "hello", "start": 0.0, "end": 1.0, "confidence": 0.9, "speaker": "S1"}
    assert finals[0]["attributes"]["pitch"] == {"value": 210.0, "confidence": 0.9, "unit": "Hz"}
    assert finals[0]["attributes"]["sentiment"]["value"] == "neutral"
    assert finals[0]["language"] == "en"
    assert finals[0]["is_final"] is True
    assert finals[0]["timestamp"].endswith("Z")
    interim = of(messages, "interim")[0]
    assert {"transcript", "confidence", "duration", "is_final", "timestamp"} <= set(interim)
    assert interim["is_final"] is False


def _tone() -> np.ndarray:
    return (np.sin(np.arange(2 * RATE_HZ) * 2 * np.pi * 220 / RATE_HZ) * 8000).astype("<i2")


def _container(name: str, codec: str, rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=name) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(_tone()[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", rate_hz)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return buffer.getvalue()


def _wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(_tone().tobytes())
    return buffer.getvalue()


ENCODED: dict[str, tuple[dict[str, Any], Callable[[], bytes]]] = {
    "linear16": ({"encoding": "linear16", "sample_rate": RATE_HZ}, lambda: _tone().tobytes()),
    "linear16 stereo": ({"encoding": "linear16", "sample_rate": RATE_HZ, "channels": 2}, lambda: np.repeat(_tone(), 2).tobytes()),
    "linear16 8 kHz": ({"encoding": "linear16", "sample_rate": 8000}, lambda: _tone()[::2].tobytes()),
    "linear16 48 kHz": ({"encoding": "linear16", "sample_rate": 48000}, lambda: np.repeat(_tone(), 3).tobytes()),
    "float32": ({"encoding": "float32", "sample_rate": RATE_HZ}, lambda: (_tone() / 32768).astype("<f4").tobytes()),
    "mulaw": ({"encoding": "mulaw", "sample_rate": 8000}, lambda: bytes(range(256)) * 62 + bytes(128)),
    "alaw": ({"encoding": "alaw", "sample_rate": 8000}, lambda: bytes(range(256)) * 62 + bytes(128)),
    "webm": ({}, lambda: _container("webm", "libopus", 48000)),
    "ogg": ({}, lambda: _container("ogg", "libopus", 48000)),
    "flac": ({}, lambda: _container("flac", "flac", RATE_HZ)),
    "mp3": ({}, lambda: _container("mp3", "libmp3lame", RATE_HZ)),
    "wav": ({}, _wav),
    "wav though linear16 was said": ({"encoding": "linear16"}, _wav),
}


@pytest.mark.parametrize("name", ENCODED)
async def test_every_encoding(name: str, gateway: GatewayServer) -> None:
    config, audio = ENCODED[name]
    async with dial(gateway) as socket:
        if config:
            await configure(socket, **config)
        data = audio()
        for at in range(0, len(data), 3001):  # no respect for sample borders
            await socket.send(data[at : at + 3001])
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert not of(messages, "error"), messages
    assert messages[-1]["audio_seconds"] == pytest.approx(2.0, abs=0.15)
    assert of(messages, "final")


async def test_base64_audio_finalize_and_keep_alive(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await configure(socket, encoding="linear16", sample_rate=RATE_HZ)
        await socket.send(json.dumps({"type": "audio", "data": base64.b64encode(SECOND[:16000]).decode()}))
        await socket.send(json.dumps({"type": "keep_alive"}))
        await socket.send(json.dumps({"type": "finalize"}))
        seen = []
        while not of(seen, "finalized"):
            seen.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
        assert of(seen, "final")[0]["end"] == 0.5
        await socket.send(json.dumps({"type": "close_stream"}))
        assert of(await everything(socket), "closed")


async def test_vocabulary_changes_in_mid_stream(gateway: GatewayServer) -> None:
    async with dial(gateway, "?custom_vocabulary=avonlea") as socket:
        await socket.send(SECOND)
        seen: list[dict[str, Any]] = []
        while not of(seen, "final"):
            seen.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
        await configure(socket, custom_vocabulary=["green gables"])
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = seen + await everything(socket)
    assert [final["transcript"] for final in of(messages, "final")] == ["hello u1 avonlea", "hello u2 green gables"]


async def test_without_diarize_and_attributes_nobody_waits_for_them(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize", "classify", "classify.text"))
    async with dial(gateway, "?diarize=false&attributes=false&interim_results=false") as socket:
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert of(messages, "final")[0]["speaker"] is None
    assert of(messages, "final")[0]["attributes"] == {}
    assert of(messages, "closed")
    assert not of(messages, "interim")


async def test_a_late_speaker_is_waited_for_only_so_long(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize",), join_wait_s=0.2, stage_timeout_s=1.0)
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert of(messages, "final")[0]["speaker"] is None
    error = of(messages, "error")[0]["error"]
    assert error["code"] == "STAGE_TIMEOUT"
    assert "diarize" in error["message"]


@pytest.mark.parametrize(
    ("query", "first", "code", "says"),
    [
        ("?colour=red", None, "INVALID_PARAMETER", "custom_vocabulary"),
        ("?interim_results=perhaps", None, "INVALID_PARAMETER", "true or false"),
        ("?language=xx", None, "UNSUPPORTED_LANGUAGE", "en"),
        ("?translate_to=de", None, "NO_TRANSLATION", "faster-whisper"),
        ("", {"type": "configure", "config": {"sample_rate": 4000}}, "UNSUPPORTED_SAMPLE_RATE", "8000"),
        ("", {"type": "configure", "config": {"sample_rate": 96000}}, "UNSUPPORTED_SAMPLE_RATE", "48000"),
        ("", {"type": "configure", "config": {"sample_rate": "many"}}, "INVALID_PARAMETER", "sample_rate"),
        ("", {"type": "configure", "config": {"encoding": "gsm"}}, "UNSUPPORTED_ENCODING", "linear16"),
        ("", {"type": "configure", "config": {"channels": 99}}, "INVALID_PARAMETER", "channels"),
        ("", {"type": "configure", "config": {"custom_vocabulary": ["x"] * 3, "pause_ms": -1}}, "INVALID_PARAMETER", "pause_ms"),
        ("", {"type": "configure"}, "INVALID_MESSAGE", "config"),
        ("", {"type": "configure", "config": {"colour": "red"}}, "INVALID_PARAMETER", "colour"),
        ("?attributes=gender,colour", None, "INVALID_PARAMETER", "pitch_hz"),
        ("", {"type": "sing"}, "INVALID_MESSAGE", "close_stream"),
        ("", {"type": "audio", "data": "not base64!"}, "INVALID_MESSAGE", "base64"),
        ("", ["a", "list"], "INVALID_MESSAGE", "type"),
    ],
)
async def test_wrong_input_gets_a_code_and_what_to_do(query: str, first: Any, code: str, says: str, gateway: GatewayServer) -> None:
    async with dial(gateway, query) as socket:
        if first is not None:
            await socket.send(json.dumps(first))
        messages = await everything(socket)
        assert socket.close_code in (1003, 1007, 1008)
    error = of(messages, "error")[0]["error"]
    assert error["code"] == code
    assert says in error["message"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"This is a poem and no sound at all, whatever you may think.", "INVALID_AUDIO_FORMAT"),
        (_wav()[:40], "INVALID_AUDIO_FORMAT"),  # in its header
        (_wav()[:44], "TRUNCATED_AUDIO"),  # before its first sample
        (b"\x1a\x45\xdf\xa3" + bytes(200), "INVALID_AUDIO_FORMAT"),
    ],
)
async def test_bytes_that_are_no_audio(data: bytes, code: str, gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send(data)
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert of(messages, "error")[0]["error"]["code"] == code


async def test_text_that_is_no_json(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send("hello?")
        messages = await everything(socket)
    assert of(messages, "error")[0]["error"]["code"] == "INVALID_MESSAGE"


async def test_nothing_at_all_is_closed_properly(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send(json.dumps({"type": "close_stream"}))
        messages = await everything(socket)
    assert messages[-1] == {"type": "closed", "audio_seconds": 0.0, "sequence": 1}


async def test_keys(make_gateway: Callable[..., GatewayServer], access: AccessStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    right = access.create_key("somebody", "enterprise")[1]
    gateway = make_gateway(database_url=access.url)
    for query, headers in (("", {}), ("?api_key=wrong", {}), ("", {"Authorization": "Token wrong"})):
        async with dial(gateway, query, additional_headers=headers) as socket:
            messages = await everything(socket)
            assert socket.close_code == 1008
        assert of(messages, "error")[0]["error"]["code"] == "UNAUTHORIZED"
    for query, headers in ((f"?api_key={right}", {}), ("", {"Authorization": f"Token {right}"}), ("", {"Authorization": f"Bearer {right}"})):
        async with dial(gateway, query, additional_headers=headers) as socket:
            await socket.send(json.dumps({"type": "close_stream"}))
            assert of(await everything(socket), "closed")
    assert right not in caplog.text
    assert "api_key=" not in caplog.text


async def test_idle_and_lifetime(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(idle_s=0.3)
    async with dial(gateway) as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == "SESSION_IDLE"
    gateway = make_gateway(session_lifetime_s=0.5)
    async with dial(gateway) as socket:

        async def talk() -> None:
            for _ in range(100):
                await socket.send(SECOND[:3200])
                await asyncio.sleep(0.05)

        talking = asyncio.create_task(talk())
        messages = await everything(socket)
        await asyncio.gather(talking, return_exceptions=True)
    assert of(messages, "error")[0]["error"]["code"] == "SESSION_LIFETIME"


async def test_too_many_sessions_are_refused_and_leaving_makes_room(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_sessions=1)
    async with dial(gateway) as first:
        await first.recv()
        async with dial(gateway) as second:
            assert of(await everything(second), "error")[0]["error"]["code"] == "TOO_MANY_SESSIONS"
            assert second.close_code == 1013
    for _ in range(100):
        async with dial(gateway) as third:
            if json.loads(await third.recv())["type"] == "session":
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the place of a session that left was never given away")


async def test_a_client_that_vanishes_leaves_nothing_behind(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(resume_s=0.2)
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        await socket.recv()
        socket.transport.abort()
    for _ in range(200):
        if gateway._hub.open_sessions == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the session is still open")


async def test_a_message_over_the_limit_closes_the_connection(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_frame_bytes=65536)
    async with dial(gateway) as socket:
        await socket.send(bytes(70_000))
        await everything(socket)
        assert socket.close_code == 1009
    async with dial(gateway) as socket:
        await socket.send(json.dumps({"type": "close_stream"}))
        assert of(await everything(socket), "closed")


async def test_a_client_that_stops_reading_is_given_up_and_the_others_are_served(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SEND_TIMEOUT_S", 0.5)
    gateway = make_gateway(max_unsent_messages=8)
    terms = ",".join(f"{number:03d}{'x' * 90}" for number in range(100))  # every final is 30 kB of them
    deaf = socket_module.socket()
    deaf.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", gateway.port))
    async with dial(gateway, sock=deaf, max_queue=1, close_timeout=0.1, ping_interval=None) as socket:
        await configure(socket, custom_vocabulary=terms.split(","))
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(30):
                for _ in range(600):
                    await socket.send(SECOND)
                    if gateway._hub.open_sessions == 0:
                        break
        for _ in range(200):
            if gateway._hub.open_sessions == 0:
                break
            await asyncio.sleep(0.05)
        assert gateway._hub.open_sessions == 0
        socket.transport.abort()
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "close_stream"}))
        assert of(await everything(socket), "final")
