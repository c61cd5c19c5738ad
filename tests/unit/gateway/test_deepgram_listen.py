"""Deepgram's live WebSocket over real sockets against scripted stages: every parameter, message and event of protocols/deepgram.md."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import socket as socket_module
import uuid
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import av
import conformance_page
import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.audio.decode import MAX_CHANNELS
from services.gateway.protocols.deepgram import listen
from services.gateway.protocols.deepgram.parameters import FOR_FILES, LIVE
from services.gateway.server import GatewayServer
from services.gateway.sockets import writer
from tests.unit.gateway import conftest as scripted
from voxrelay.errors import Refused
from voxrelay.events import Engine
from voxrelay.plans import PLANS
from voxrelay.storage.access import AccessStore

PAGE = Path(__file__).resolve().parents[3] / "docs" / "protocols" / "deepgram.md"
RATE_HZ = 16_000
SECOND = bytes(2 * RATE_HZ)
RAW = "encoding=linear16&sample_rate=16000"
TONE = (np.sin(np.arange(2 * RATE_HZ) * 2 * np.pi * 220 / RATE_HZ) * 8000).astype("<i2")


def dial(gateway: GatewayServer, query: str = RAW, **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/v1/listen?{query}", compression=None, **options)


async def everything(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            async for text in socket:
                messages.append(json.loads(text))
    return messages


async def until(socket: ClientConnection, is_it: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if is_it(message):
                return message


async def tell(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind} | fields))


async def said(gateway: GatewayServer, query: str, audio: bytes = SECOND * 2 + SECOND[:RATE_HZ], piece: int = 3200) -> list[dict[str, Any]]:
    """Everything the server answers to this audio, with a proper end on both sides."""
    async with dial(gateway, query) as socket:
        for at in range(0, len(audio), piece):
            await socket.send(audio[at : at + piece])
        await tell(socket, "CloseStream")
        messages = await everything(socket)
        assert (socket.close_code, socket.close_reason) == (1000, "")
    assert messages[-1]["type"] == "Metadata"
    return messages


async def refused(gateway: GatewayServer, query: str, **options: Any) -> Any:
    """The HTTP answer to a connection that is not let in."""
    with pytest.raises(InvalidStatus) as error:
        async with dial(gateway, query, **options):
            pass
    return error.value.response


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in of(messages, "Results") if message["is_final"]]


def alternative(message: dict[str, Any]) -> dict[str, Any]:
    best: dict[str, Any] = message["channel"]["alternatives"][0]
    return best


def transcripts(messages: list[dict[str, Any]]) -> list[str]:
    return [alternative(message)["transcript"] for message in messages]


async def until_empty(gateway: GatewayServer) -> None:
    for _ in range(200):
        if gateway._hub.open_sessions == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a session is still open")


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "call WebSocket /v1/listen", "done")
@pytest.mark.conformance("deepgram", "event Results", "done")
@pytest.mark.conformance("deepgram", "event Metadata", "done")
@pytest.mark.conformance("deepgram", "message CloseStream", "done")
@pytest.mark.conformance("deepgram", "parameter model", "done", "any name; model_info names the engine in use")
async def test_a_whole_stream(gateway: GatewayServer) -> None:
    audio = SECOND * 2 + SECOND[:RATE_HZ]
    messages = await said(gateway, f"model=nova-3&{RAW}", audio)
    assert {message["type"] for message in messages} == {"Results", "Metadata"}  # nothing that was not asked for
    results = of(messages, "Results")
    assert transcripts(results) == ["hello u1", "hello u2", "hello u3"]
    first, metadata = results[0], messages[-1]
    assert {name: first[name] for name in ("channel_index", "start", "duration", "is_final", "speech_final", "from_finalize")} == {
        "channel_index": [0, 1],
        "start": 0.0,
        "duration": 1.0,
        "is_final": True,
        "speech_final": True,
        "from_finalize": False,
    }
    assert alternative(first)["words"][0] == {"word": "hello", "start": 0.0, "end": 1.0, "confidence": 0.9}
    assert set(alternative(first)) == {"transcript", "confidence", "words"}
    assert first["metadata"].keys() == {"request_id", "model_uuid", "model_info"}
    assert first["metadata"]["model_info"].keys() == {"name", "version", "arch"}
    assert metadata["request_id"] == first["metadata"]["request_id"] == str(uuid.UUID(metadata["request_id"]))
    assert metadata["sha256"] == hashlib.sha256(audio).hexdigest()
    assert (metadata["duration"], metadata["channels"], metadata["transaction_key"]) == (2.5, 1, "deprecated")
    assert metadata["created"].endswith("Z")
    assert "tags" not in metadata


@pytest.mark.conformance("deepgram", "message CloseStream", "done", "an empty binary message ends the stream too, as older SDKs send it")
async def test_an_empty_binary_message_is_the_end(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        await socket.send(b"")
        messages = await everything(socket)
        assert socket.close_code == 1000
    assert [message["type"] for message in messages] == ["Results", "Metadata"]


async def test_nothing_at_all_is_closed_properly(gateway: GatewayServer) -> None:
    messages = await said(gateway, RAW, b"")
    assert [message["type"] for message in messages] == ["Metadata"]
    assert messages[0]["duration"] == 0.0
    assert messages[0]["sha256"] == hashlib.sha256().hexdigest()


async def test_the_engine_that_worked_is_named(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    def named(ended: Any, config: Any) -> Any:
        return [replace(result, engine=Engine("listener", "7", "sha256:1")) for result in transcribe(ended, config)]

    transcribe = scripted.transcribe
    monkeypatch.setattr(scripted, "transcribe", named)
    messages = await said(make_gateway(), f"model=nova-3&{RAW}", SECOND)
    assert messages[0]["metadata"]["model_info"] == {"name": "listener", "version": "7", "arch": "listener"}
    model = messages[0]["metadata"]["model_uuid"]
    assert messages[-1]["model_info"][model]["name"] == "listener"


@pytest.mark.conformance("deepgram", "parameter interim_results", "done")
async def test_interims(gateway: GatewayServer) -> None:
    for yes in ("true", "True"):  # SDK 6.0 writes it as Python does
        results = of(await said(gateway, f"{RAW}&interim_results={yes}"), "Results")
        interim = next(result for result in results if not result["is_final"])
        assert (transcripts([interim]), interim["speech_final"], interim["from_finalize"]) == (["hello"], False, False)
        assert interim["channel_index"] == [0, 1]
        assert len(finals(results)) == 3
    assert all(result["is_final"] for result in of(await said(gateway, f"{RAW}&interim_results=false"), "Results"))


@pytest.mark.conformance("deepgram", "parameter vad_events", "done")
@pytest.mark.conformance("deepgram", "event SpeechStarted", "done")
async def test_speech_started(gateway: GatewayServer) -> None:
    started = of(await said(gateway, f"{RAW}&vad_events=true"), "SpeechStarted")
    assert started[0] == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.0}
    assert [message["timestamp"] for message in started] == [0.0, 1.0, 2.0]


@pytest.mark.conformance("deepgram", "parameter endpointing", "done", "below 100 ms it is 100 ms; false: no pause is speech_final")
async def test_is_final_against_speech_final(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[int] = []

    class Cut(scripted.ScriptedDenoise):
        """The first utterance is cut for its length."""

        def _end(self, session: str, state: dict[str, Any], reason: Any) -> Any:
            pauses.append(state["config"].pause_ms)
            event = super()._end(session, state, reason)
            return replace(event, payload=replace(event.payload, reason="length")) if state["count"] == 1 else event

    monkeypatch.setattr(scripted, "ScriptedDenoise", Cut)
    gateway = make_gateway()
    assert [final["speech_final"] for final in finals(await said(gateway, f"{RAW}&endpointing=300"))] == [False, True, True]  # length, pause, end
    assert set(pauses) == {300}
    assert [final["speech_final"] for final in finals(await said(gateway, f"{RAW}&endpointing=false"))] == [False, False, True]
    assert set(pauses) == {300, 0}
    assert (await refused(gateway, f"{RAW}&endpointing=6000")).status_code == 400


# --- Finalize, Configure, KeepAlive -----------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "message Finalize", "done", "always answered, with an empty transcript when nothing was pending")
async def test_finalize_is_always_answered(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await tell(socket, "Finalize")  # before any audio
        before = json.loads(await socket.recv())
        await socket.send(SECOND[:RATE_HZ])
        await tell(socket, "Finalize")  # half a second is pending
        pending = json.loads(await socket.recv())
        await tell(socket, "Finalize")  # nothing is
        nothing = json.loads(await socket.recv())
        await tell(socket, "CloseStream")
        rest = await everything(socket)
    assert [message["type"] for message in rest] == ["Metadata"]
    for message in (before, pending, nothing):
        assert (message["is_final"], message["speech_final"], message["from_finalize"]) == (True, True, True)
    assert transcripts([before, pending, nothing]) == ["", "hello u1", ""]
    assert alternative(nothing)["words"] == []
    assert (nothing["start"], nothing["duration"]) == (0.5, 0.0)


@pytest.mark.conformance("deepgram", "message Finalize", "done", "of one channel too")
async def test_finalize_of_one_channel(gateway: GatewayServer) -> None:
    async with dial(gateway, f"{RAW}&channels=2&multichannel=true") as socket:
        await socket.send(SECOND)  # half a second of two channels
        await tell(socket, "Finalize", channel=1)
        answer = json.loads(await socket.recv())
        assert (answer["channel_index"], answer["from_finalize"]) == ([1, 2], True)
        await tell(socket, "Finalize")
        both = [json.loads(await socket.recv()) for _ in range(2)]
        assert sorted(message["channel_index"][0] for message in both) == [0, 1]
        await tell(socket, "Finalize", channel=2)
        assert json.loads(await socket.recv())["type"] == "Error"


@pytest.mark.conformance("deepgram", "message Configure", "done", "keyterms for the utterances that begin after it; features of writing")
@pytest.mark.conformance("deepgram", "event ConfigureSuccess", "done")
async def test_configure_in_mid_stream(gateway: GatewayServer) -> None:
    async with dial(gateway, f"{RAW}&keyterm=first&keywords=always:2") as socket:
        await socket.send(SECOND)
        assert transcripts([json.loads(await socket.recv())]) == ["hello u1 first always"]
        await tell(socket, "Configure", keyterms=["second", "third"], features={"numerals": True})
        answer = json.loads(await socket.recv())
        assert (answer["type"], answer["keyterms"]) == ("ConfigureSuccess", ["second", "third"])
        await socket.send(SECOND)
        result = json.loads(await socket.recv())
        assert transcripts([result]) == ["hello u2 second third always"]
        assert answer["request_id"] == result["metadata"]["request_id"]
        await tell(socket, "Configure", features={"punctuate": False})
        assert json.loads(await socket.recv())["keyterms"] == ["second", "third", "always"]
        await tell(socket, "Configure", keyterms=[])
        assert json.loads(await socket.recv())["keyterms"] == []
        await socket.send(SECOND)
        assert transcripts([json.loads(await socket.recv())]) == ["hello u3 always"]


async def test_configure_before_the_first_audio(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await tell(socket, "Configure", keyterms=["early"])
        assert json.loads(await socket.recv())["type"] == "ConfigureSuccess"
        await socket.send(SECOND)
        assert transcripts([json.loads(await socket.recv())]) == ["hello u1 early"]


@pytest.mark.conformance("deepgram", "event ConfigureFailure", "done")
async def test_too_many_keyterms(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_vocabulary_terms=2)
    async with dial(gateway) as socket:
        await tell(socket, "Configure", keyterms=["a", "b", "c"])
        failure = json.loads(await socket.recv())
        assert (failure["type"], failure["code"]) == ("ConfigureFailure", "CONFIGURE_KEYTERM_LIMIT_EXCEEDED")
        assert failure["description"]
        await socket.send(SECOND)
        assert transcripts([json.loads(await socket.recv())]) == ["hello u1"]


@pytest.mark.conformance("deepgram", "event Error", "done", "variant SchemaError; the stream goes on")
@pytest.mark.parametrize(
    "text",
    [
        "hello?",
        "[]",
        "{}",
        '{"type": ["Finalize"]}',
        '{"type": "Subscribe"}',
        '{"type": "Finalize", "channel": "left"}',
        '{"type": "Configure", "keyterms": "one"}',
        '{"type": "Configure", "features": {"magic": true}}',
        "[" * 100_000,
    ],
)
async def test_a_control_message_that_is_none(text: str, gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send(text)
        error = json.loads(await socket.recv())
        assert (error["type"], error["variant"]) == ("Error", "SchemaError")
        assert error["description"]
        assert text.startswith(error["message"])
        await socket.send(SECOND)
        assert transcripts([json.loads(await socket.recv())]) == ["hello u1"]


@pytest.mark.conformance("deepgram", "message KeepAlive", "done", "no answer; without any message for 10 s: 1011 NET-0001")
async def test_silence_closes_and_keep_alive_does_not(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listen.SILENT_S == 10.0
    monkeypatch.setattr(listen, "SILENT_S", 0.5)
    async with dial(gateway) as socket:
        for _ in range(8):
            await tell(socket, "KeepAlive")
            await asyncio.sleep(0.1)
        await socket.send(SECOND)
        messages = await everything(socket)
        assert socket.close_code == 1011
        assert socket.close_reason.startswith("NET-0001")
    assert transcripts(messages) == ["hello u1"]  # what was said comes first; KeepAlive brings nothing


# --- UtteranceEnd -----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "parameter utterance_end_ms", "done")
@pytest.mark.conformance("deepgram", "event UtteranceEnd", "done")
async def test_utterance_end_after_the_gap(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    transcribe = scripted.transcribe

    def rarely(ended: Any, config: Any) -> Any:
        """Words in the first and the fifth second only."""
        results = transcribe(ended, config)
        if ended.utterance_id in ("u1", "u5"):
            return results
        return [replace(results[-1], text="", words=())]

    monkeypatch.setattr(scripted, "transcribe", rarely)
    gateway = make_gateway()
    async with dial(gateway, f"{RAW}&interim_results=true&utterance_end_ms=1500") as socket:
        await socket.send(SECOND * 4)
        gap = await until(socket, lambda message: message["type"] == "UtteranceEnd")
        assert gap == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0}
        await socket.send(SECOND * 3)
        await tell(socket, "CloseStream")
        messages = await everything(socket)
    assert transcripts(finals(messages)) == ["hello u5"]
    assert [message["last_word_end"] for message in of(messages, "UtteranceEnd")] == [5.0]
    assert messages.index(of(messages, "UtteranceEnd")[0]) > messages.index(finals(messages)[0])
    without = await said(gateway, f"{RAW}&interim_results=true", SECOND * 4)
    assert not of(without, "UtteranceEnd")
    short = await said(gateway, f"{RAW}&interim_results=true&utterance_end_ms=4500", SECOND * 4)
    assert not of(short, "UtteranceEnd")
    needs = await refused(gateway, f"{RAW}&utterance_end_ms=1000")
    assert "interim_results" in json.loads(needs.body)["err_msg"]


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "parameter diarize", "done")
@pytest.mark.conformance("deepgram", "parameter diarize_model", "done")
async def test_speakers_are_numbers_from_zero(gateway: GatewayServer) -> None:
    for asked in ("diarize=true", "diarize_model=latest"):
        words = [alternative(final)["words"][0] for final in finals(await said(gateway, f"{RAW}&{asked}"))]
        assert [word["speaker"] for word in words] == [0, 1, 0]


@pytest.mark.conformance("deepgram", "parameter keyterm", "done")
@pytest.mark.conformance("deepgram", "parameter keywords", "done", "of an intensifier only the sign counts")
async def test_vocabulary(gateway: GatewayServer) -> None:
    messages = await said(gateway, f"{RAW}&keyterm=alpha&keyterm=beta&keywords=gamma:2.5&keywords=delta&keywords=omega:-3", SECOND)
    assert transcripts(finals(messages)) == ["hello u1 alpha beta gamma delta"]


@pytest.mark.conformance("deepgram", "parameter multichannel", "done")
@pytest.mark.conformance("deepgram", "parameter channels", "done")
async def test_every_channel_is_heard_on_its_own(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, bytearray] = {}
    take = scripted.ScriptedDenoise._handle

    def listening(self: Any, session: str, payload: Any, state: dict[str, Any]) -> Any:
        if isinstance(payload, scripted.AudioReceived):
            heard.setdefault(session, bytearray()).extend(payload.pcm_s16le)
        return take(self, session, payload, state)

    monkeypatch.setattr(scripted.ScriptedDenoise, "_handle", listening)
    left, right = np.full(2 * RATE_HZ, 100, "<i2"), np.full(2 * RATE_HZ, 200, "<i2")
    audio = np.stack([left, right], axis=1).tobytes()
    messages = await said(gateway, f"{RAW}&channels=2&multichannel=true&vad_events=true", audio, piece=3333)  # no respect for frames
    assert {bytes(pcm) for pcm in heard.values()} == {left.tobytes(), right.tobytes()}
    assert sorted(final["channel_index"] for final in finals(messages)) == [[0, 2], [0, 2], [1, 2], [1, 2]]
    assert {tuple(message["channel"]) for message in of(messages, "SpeechStarted")} == {(0, 2), (1, 2)}
    assert len({final["metadata"]["request_id"] for final in finals(messages)}) == 1
    assert (messages[-1]["duration"], messages[-1]["channels"]) == (2.0, 2)
    mixed = await said(gateway, f"{RAW}&channels=2", audio)
    assert [final["channel_index"] for final in finals(mixed)] == [[0, 1], [0, 1]]


async def test_all_channels_or_none(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_sessions=2)
    answer = await refused(gateway, f"{RAW}&channels=3&multichannel=true")
    assert (answer.status_code, json.loads(answer.body)["err_code"]) == (503, "TOO_MANY_SESSIONS")
    assert gateway._hub.open_sessions == 0
    assert len(finals(await said(gateway, f"{RAW}&channels=2&multichannel=true", SECOND * 2))) == 2


def _packets(codec: str, rate_hz: int, bit_rate: int = 0, layout: str = "mono") -> list[bytes]:
    context: Any = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = rate_hz, layout, context.codec.audio_formats[0].name
    if bit_rate:
        context.bit_rate = bit_rate
    context.open()
    frame = av.AudioFrame.from_ndarray(TONE[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE_HZ
    resampler = av.AudioResampler(context.format.name, layout, rate_hz, frame_size=context.frame_size)
    frames = (*resampler.resample(frame), *resampler.resample(None), None)
    return [bytes(packet) for piece in frames for packet in context.encode(piece)]


def _container(name: str, codec: str, rate_hz: int, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    layout = "mono" if channels == 1 else "stereo"
    with av.open(buffer, "w", format=name) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.repeat(TONE, channels)[None, :], format="s16", layout=layout)
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, layout, rate_hz)
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            for packet in stream.encode(piece):
                container.mux(packet)
    return buffer.getvalue()


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# Two seconds each. For AMR-WB, speex and G.729 there is no encoder here: frames of a valid length, of which libav makes sound.
ENCODED: dict[str, tuple[str, Callable[[], list[bytes]]]] = {
    "linear16": ("encoding=linear16&sample_rate=16000", lambda: _cut(TONE.tobytes(), 3001)),
    "linear16 48 kHz": ("encoding=linear16&sample_rate=48000", lambda: _cut(np.repeat(TONE, 3).tobytes(), 3001)),
    "linear32": ("encoding=linear32&sample_rate=16000", lambda: _cut((TONE / 32768).astype("<f4").tobytes(), 3001)),
    "mulaw": ("encoding=mulaw&sample_rate=8000", lambda: _cut(bytes(range(256)) * 62 + bytes(128), 160)),
    "alaw without a rate": ("encoding=alaw", lambda: _cut(bytes(range(256)) * 62 + bytes(128), 160)),
    "flac": ("encoding=flac&sample_rate=16000", lambda: _cut(_container("flac", "flac", RATE_HZ), 3001)),
    "ogg-opus": ("encoding=ogg-opus&sample_rate=48000", lambda: _cut(_container("ogg", "libopus", 48_000), 3001)),
    "opus packets": ("encoding=opus&sample_rate=48000", lambda: _packets("libopus", 48_000)),
    "opus stereo packets": ("encoding=opus&channels=2&multichannel=true", lambda: _packets("libopus", 48_000, layout="stereo")),
    "opus in ogg": ("encoding=opus&sample_rate=48000", lambda: _cut(_container("ogg", "libopus", 48_000), 3001)),
    "amr-nb": ("encoding=amr-nb&sample_rate=8000", lambda: _cut(b"".join(_packets("libopencore_amrnb", 8000, 12_200)), 7)),
    "amr-nb with its magic": ("encoding=amr-nb", lambda: _cut(b"#!AMR\n" + b"".join(_packets("libopencore_amrnb", 8000, 12_200)), 4)),
    "amr-wb": ("encoding=amr-wb&sample_rate=16000", lambda: [bytes([8 << 3 | 4]) + bytes(60)] * 100),
    "speex": ("encoding=speex&sample_rate=8000", lambda: [bytes(1)] * 100),
    "g729": ("encoding=g729&sample_rate=8000", lambda: _cut(bytes(range(200)) * 10, 7)),
    "webm": ("", lambda: _cut(_container("webm", "libopus", 48_000), 3001)),
    "wav": ("model=nova-3", lambda: _cut(_container("wav", "pcm_s16le", RATE_HZ), 3001)),
    "mp3": ("", lambda: _cut(_container("mp3", "libmp3lame", RATE_HZ), 3001)),
    "stereo wav": ("channels=2&multichannel=true", lambda: _cut(_container("wav", "pcm_s16le", RATE_HZ, 2), 3001)),
}


@pytest.mark.conformance("deepgram", "parameter encoding", "done", "all of theirs; left out, the container is told by its first bytes")
@pytest.mark.conformance("deepgram", "parameter sample_rate", "done")
@pytest.mark.parametrize("name", ENCODED)
async def test_every_encoding(name: str, gateway: GatewayServer) -> None:
    query, pieces = ENCODED[name]
    async with dial(gateway, query) as socket:
        for piece in pieces():
            await socket.send(piece)
        await tell(socket, "CloseStream")
        messages = await everything(socket)
        assert (socket.close_code, socket.close_reason) == (1000, "")
    assert messages[-1]["duration"] == pytest.approx(2.0, abs=0.15)
    assert len({message["channel_index"][0] for message in finals(messages)}) == (2 if "multichannel" in query else 1)


async def test_a_message_that_swells_is_not_taken(gateway: GatewayServer) -> None:
    async with dial(gateway, "encoding=amr-nb") as socket:
        await socket.send(b"\x7c" * 100_000)  # frames without data: a byte each, 20 ms each
        await everything(socket)
        assert socket.close_code == 1009
        assert socket.close_reason.startswith("MESSAGE_TOO_LARGE")


@pytest.mark.conformance("deepgram", "close 1008 DATA-0000", "done", "audio that cannot be decoded")
@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("", b"This is a poem and no sound at all, whatever you may think."),
        ("", bytes(1000)),
        ("", _container("wav", "pcm_s16le", RATE_HZ)[:40]),
        ("encoding=opus&sample_rate=48000", b"\xff" * 40),
        ("encoding=linear16&sample_rate=16000", b"This is a poem and no sound at all, whatever you may think."),
        ("channels=3&multichannel=true", _container("wav", "pcm_s16le", RATE_HZ, 2)),
    ],
)
async def test_what_is_no_audio(query: str, data: bytes, gateway: GatewayServer) -> None:
    async with dial(gateway, query) as socket:
        await socket.send(data)
        await tell(socket, "CloseStream")
        messages = await everything(socket)
        assert socket.close_code == 1008
        assert socket.close_reason.startswith("DATA-0000: ")
    assert not messages


@pytest.mark.conformance("deepgram", "parameter language", "done", "multi is detected; what the engine does not know is refused")
async def test_languages(gateway: GatewayServer, make_gateway: Callable[..., GatewayServer]) -> None:
    final = finals(await said(gateway, f"{RAW}&language=multi", SECOND))[0]
    assert alternative(final)["languages"] == ["en"]
    assert alternative(final)["words"][0]["language"] == "en"
    assert "languages" not in alternative(finals(await said(gateway, f"{RAW}&language=en-US", SECOND))[0])
    assert finals(await said(gateway, RAW, SECOND))
    german = make_gateway(languages=("de",))
    assert finals(await said(german, RAW, SECOND))  # nobody asked for English
    assert (await refused(german, f"{RAW}&language=en")).status_code == 400
    answer = await refused(gateway, f"{RAW}&language=tlh")
    assert (answer.status_code, json.loads(answer.body)["err_code"]) == (400, "UNSUPPORTED_LANGUAGE")


@pytest.mark.conformance("deepgram", "parameter tag", "done")
@pytest.mark.conformance("deepgram", "parameter extra", "done")
async def test_tags_and_extra_come_back(gateway: GatewayServer) -> None:
    metadata = (await said(gateway, f"{RAW}&tag=a&tag=b&extra=one:1&extra=two:2:2", SECOND))[-1]
    assert (metadata["tags"], metadata["extra"]) == (["a", "b"], {"one": "1", "two": "2:2"})


@pytest.mark.conformance("deepgram", "parameter voice", "done", "ours: how it sounds, inside the alternative")
async def test_voice(gateway: GatewayServer) -> None:
    voice = alternative(finals(await said(gateway, f"{RAW}&voice=true", SECOND))[0])["voice"]
    assert voice["pitch"] == {"value": 210.0, "confidence": 0.9, "unit": "Hz"}
    assert voice["sentiment"]["value"] == "neutral"


@pytest.mark.conformance("deepgram", "parameter mip_opt_out", "done", "the audio is not stored")
async def test_opting_out_keeps_no_audio(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    transcribe = scripted.transcribe

    class Asking(scripted.ScriptedResults):
        def process(self, batch: Any) -> Any:
            kept.extend(event.payload.config.keep_audio for event in batch if isinstance(event.payload, scripted.SessionOpened))
            return super().process(batch)

    monkeypatch.setattr(scripted, "ScriptedResults", Asking)
    with scripted.gateways() as make:
        asking = make()
        await said(asking, f"{RAW}&mip_opt_out=true", SECOND)
        assert set(kept) == {False}
        await said(asking, RAW, SECOND)
        assert set(kept) == {False, True}
    assert transcribe is scripted.transcribe


@pytest.mark.conformance("deepgram", "parameter version", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter language_hint", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter no_delay", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter tier", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter alternatives", "accepted without effect", "1; more are refused")
@pytest.mark.conformance("deepgram", "parameter diarize_version", "accepted without effect")
async def test_accepted_without_effect(gateway: GatewayServer) -> None:
    asked = "version=latest&language_hint=en&language_hint=de&no_delay=true&tier=nova&alternatives=1&diarize_version=1"
    messages = await said(gateway, f"{RAW}&{asked}")
    assert transcripts(of(messages, "Results")) == ["hello u1", "hello u2", "hello u3"]


@pytest.mark.conformance("deepgram", "parameter detect_entities", "refused", "no engine here finds entities")
@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("detect_entities=true", "NOT_SUPPORTED", "detect_entities"),
        ("redact=pii", "NOT_SUPPORTED", "pii"),
        ("alternatives=3", "INVALID_PARAMETER", "alternatives"),
        ("colour=blue", "INVALID_PARAMETER", "colour"),
        ("summarize=v2", "INVALID_PARAMETER", "files"),
        ("interim_results=1", "INVALID_PARAMETER", "true or false"),
        ("channels=99", "INVALID_PARAMETER", "from 1 to 8"),
        ("channels=2&channels=2", "INVALID_PARAMETER", "once"),
        ("diarize_model=v9", "INVALID_PARAMETER", "latest"),
        ("encoding=gsm", "UNSUPPORTED_ENCODING", "linear16"),
        ("encoding=linear16", "INVALID_PARAMETER", "sample_rate"),
        ("encoding=linear16&sample_rate=96000", "UNSUPPORTED_SAMPLE_RATE", "48000"),
        ("encoding=opus&channels=3", "INVALID_PARAMETER", "2 at most"),
        ("encoding=amr-nb&channels=2&multichannel=true", "INVALID_PARAMETER", "1 at most"),
        ("keywords=a:loud", "INVALID_PARAMETER", "keywords"),
        ("replace=:b", "INVALID_PARAMETER", "replace"),
        ("extra=nothing", "INVALID_PARAMETER", "key:value"),
        ("tag=" + "x" * 3000, "INVALID_PARAMETER", "2048"),
        ("callback=ftp://example.org", "URL_REFUSED", "http"),
    ],
)
async def test_refused_before_the_upgrade(query: str, code: str, says: str, gateway: GatewayServer) -> None:
    answer = await refused(gateway, query)
    body = json.loads(answer.body)
    theirs = {"INVALID_PARAMETER": "INVALID_QUERY_PARAMETER", "URL_REFUSED": "REMOTE_CONTENT_ERROR"}
    assert (answer.status_code, body["err_code"]) == (400, theirs.get(code, code))
    assert says in body["err_msg"]
    assert answer.headers["dg-request-id"] == body["request_id"]
    assert answer.headers["dg-error"]
    assert gateway._hub.open_sessions == 0


# --- how it is written ------------------------------------------------------------------------------------------------


def _says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every utterance is this text from now on, words of a tenth of a second."""

    def answer(ended: Any, config: Any) -> Any:
        start_s = ended.start_sample / RATE_HZ
        words = tuple(scripted.Word(word, start_s + n / 10, start_s + (n + 1) / 10, 0.9) for n, word in enumerate(text.split()))
        interim = scripted.SegmentTranscribed(ended.utterance_id, 1, False, start_s, start_s + 1, text, 0.5)  # without times
        return interim, scripted.SegmentTranscribed(ended.utterance_id, 2, True, start_s, start_s + 1, text, 0.9, words, "en")

    monkeypatch.setattr(scripted, "transcribe", answer)


@pytest.mark.conformance("deepgram", "parameter punctuate", "done")
@pytest.mark.conformance("deepgram", "parameter smart_format", "done")
@pytest.mark.conformance("deepgram", "parameter numerals", "done")
@pytest.mark.conformance("deepgram", "parameter dictation", "done")
@pytest.mark.conformance("deepgram", "parameter profanity_filter", "done")
@pytest.mark.conformance("deepgram", "parameter filler_words", "done")
@pytest.mark.conformance("deepgram", "parameter redact", "done")
@pytest.mark.conformance("deepgram", "parameter replace", "done")
@pytest.mark.parametrize(
    ("query", "heard", "written"),
    [
        ("", "i have twenty two cats", "i have twenty two cats"),
        ("punctuate=true", "i have cats", "I have cats."),
        ("smart_format=true", "i have twenty two cats", "I have 22 cats."),
        ("numerals=true", "i have twenty two cats", "i have 22 cats"),
        ("dictation=true&punctuate=true", "dear sir comma hello", "Dear sir, hello."),
        ("profanity_filter=true", "oh shit", "oh s***"),
        ("", "well um yes", "well yes"),
        ("filler_words=true", "well um yes", "well um yes"),
        ("redact=numbers", "my number is five five five one two three four", None),
        ("replace=cats:dogs&replace=have", "i have cats", "i dogs"),
    ],
)
async def test_writing(
    query: str, heard: str, written: str | None, make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _says(heard, monkeypatch)
    messages = await said(make_gateway(), f"{RAW}&interim_results=true&{query}", SECOND)
    interim, final = of(messages, "Results")
    assert transcripts([interim]) == transcripts([final])  # an interim shows no more than the final
    assert alternative(interim)["words"] == []  # the engine told no times yet
    if written is None:
        shown = json.dumps(messages)
        assert not {"five", "three", "5551234"} & set(shown.replace('"', " ").split())
        return
    assert transcripts([final]) == [written]
    words = alternative(final)["words"]
    assert ("punctuated_word" in words[0]) == ("punctuate" in query or "smart_format" in query)
    if "punctuated_word" in words[0]:
        assert " ".join(word["punctuated_word"] for word in words) == written


@pytest.mark.conformance("deepgram", "parameter search", "done")
async def test_search(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    _says("i have cats", monkeypatch)
    search = finals(await said(make_gateway(), f"{RAW}&search=cats&search=elephant", SECOND))[0]["channel"]["search"]
    assert [found["query"] for found in search] == ["cats", "elephant"]
    assert search[0]["hits"][0] == {"confidence": 1.0, "start": 0.2, "end": 0.3, "snippet": "cats"}
    assert search[1]["hits"] == []


async def test_writing_changes_in_mid_stream(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    _says("twenty two", monkeypatch)
    async with dial(make_gateway()) as socket:
        await socket.send(SECOND)
        before = json.loads(await socket.recv())
        await tell(socket, "Configure", features={"numerals": True})
        await socket.recv()
        await socket.send(SECOND)
        after = json.loads(await socket.recv())
    assert transcripts([before, after]) == ["twenty two", "22"]


# --- who comes in -----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "authorization Token, bearer, subprotocol, granted token", "done")
async def test_keys(make_gateway: Callable[..., GatewayServer], access: AccessStore, caplog: pytest.LogCaptureFixture) -> None:
    right = access.create_key("somebody", "enterprise")[1]
    gateway = make_gateway(database_url=access.url)
    for options in ({}, {"additional_headers": {"Authorization": "Token wrong"}}, {"subprotocols": ["token", "wrong"]}):
        answer = await refused(gateway, RAW, **options)
        assert (answer.status_code, json.loads(answer.body)["err_code"]) == (401, "INVALID_AUTH")
        assert answer.headers["dg-error"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # a wrong key is no failure of ours
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", headers={"Authorization": f"Token {right}"}) as client:
        token = (await client.post("/v1/auth/grant", json={"ttl_seconds": 30})).json()["access_token"]
    for credential in (f"Token {right}", f"token {right}", f"Bearer {right}", f"bearer {right}", f"bearer {token}"):
        async with dial(gateway, RAW, additional_headers={"Authorization": credential}) as socket:
            await tell(socket, "CloseStream")
            assert of(await everything(socket), "Metadata")
            assert socket.response.headers["dg-request-id"]
    for subprotocols in (["token", right], ["bearer", token]):
        async with dial(gateway, RAW, subprotocols=subprotocols) as socket:
            assert socket.subprotocol == subprotocols[0]


async def test_a_plan_without_room_for_every_channel(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    gateway = make_gateway(database_url=access.url)
    plan = next(plan for plan in PLANS.values() if plan.concurrent_sessions in range(1, MAX_CHANNELS))
    options = {"additional_headers": {"Authorization": f"Token {access.create_key('somebody', plan.name)[1]}"}}
    answer = await refused(gateway, f"{RAW}&channels={plan.concurrent_sessions + 1}&multichannel=true", **options)
    assert (answer.status_code, json.loads(answer.body)["err_code"]) == (429, "TOO_MANY_REQUESTS")
    assert gateway._hub.open_sessions == 0
    async with dial(gateway, RAW, **options) as socket:  # the places that were taken have been given back
        await tell(socket, "CloseStream")
        assert of(await everything(socket), "Metadata")


async def test_overload_and_rate_limits_say_when_to_come_again(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = make_gateway(max_sessions=1)
    async with dial(gateway):
        full = await refused(gateway, RAW)
    assert (full.status_code, json.loads(full.body)["err_code"]) == (503, "TOO_MANY_SESSIONS")
    assert int(full.headers["retry-after"]) > 0

    async def too_often(connection: Any) -> None:
        raise Refused("RATE_LIMITED", "The requests of this minute are used up.")

    monkeypatch.setattr(gateway._gate, "admit", too_often)
    limited = await refused(gateway, RAW)
    assert (limited.status_code, json.loads(limited.body)["err_code"]) == (429, "TOO_MANY_REQUESTS")
    assert int(limited.headers["retry-after"]) > 0


async def test_a_client_that_vanishes_leaves_nothing_behind(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway()
    async with dial(gateway, f"{RAW}&channels=2&multichannel=true") as socket:
        await socket.send(SECOND * 2)
        await socket.recv()
        assert gateway._hub.open_sessions == 2
        socket.transport.abort()
    await until_empty(gateway)


async def test_a_stage_that_never_answers_is_named(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("transcribe",), stage_timeout_s=0.5)
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        await tell(socket, "CloseStream")
        await everything(socket)
        assert socket.close_code == 1011
        assert socket.close_reason.startswith("STAGE_TIMEOUT: No answer from transcribe")
    await until_empty(gateway)


async def test_a_connection_has_a_lifetime(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(session_lifetime_s=0.5)
    async with dial(gateway) as socket:
        await socket.send(SECOND)
        messages = await everything(socket)
        assert socket.close_reason.startswith("SESSION_LIFETIME")
    assert transcripts(messages) == ["hello u1"]


async def test_a_client_that_stops_reading_is_given_up_and_the_others_are_served(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SEND_TIMEOUT_S", 0.5)
    gateway = make_gateway(max_unsent_messages=8)
    deaf = socket_module.socket()
    deaf.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", gateway.port))
    async with dial(gateway, sock=deaf, max_queue=1, close_timeout=0.1, ping_interval=None) as socket:
        await tell(socket, "Configure", keyterms=[f"{number:03d}{'x' * 90}" for number in range(100)])  # every final is 30 kB of them
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(30):
                for _ in range(600):
                    await socket.send(SECOND)
                    if gateway._hub.open_sessions == 0:
                        break
        await until_empty(gateway)
        socket.transport.abort()
    assert finals(await said(gateway, RAW, SECOND))


# --- callback ---------------------------------------------------------------------------------------------------------


class Posts:
    """A small HTTP server that keeps what it is sent."""

    def __enter__(self) -> Posts:
        self.taken: list[tuple[str, Any]] = []
        posts = self

        class Taking(BaseHTTPRequestHandler):
            def take(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                posts.taken.append((self.command, json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_PUT = take  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}/heard"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.conformance("deepgram", "parameter callback", "done", "what is answered is posted as well, in order")
@pytest.mark.conformance("deepgram", "parameter callback_method", "done")
async def test_a_callback_gets_what_the_client_gets(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(allowed_internal_hosts=("127.0.0.1",))
    with Posts() as posts:
        for method in ("POST", "put"):
            messages = await said(gateway, f"{RAW}&callback={posts.url}&callback_method={method}")
            for _ in range(200):
                if len(posts.taken) >= len(messages):
                    break
                await asyncio.sleep(0.05)
            assert posts.taken == [(method.upper(), message) for message in messages]
            posts.taken.clear()


async def test_a_callback_into_an_internal_network_is_never_made(gateway: GatewayServer) -> None:
    with Posts() as posts:
        answer = await refused(gateway, f"{RAW}&callback={posts.url}")  # its port alone is refused already
        assert json.loads(answer.body)["err_code"] == "REMOTE_CONTENT_ERROR"
        assert len(finals(await said(gateway, f"{RAW}&callback=http://127.0.0.1/"))) == 3
        assert not posts.taken


# --- the page and the marks -------------------------------------------------------------------------------------------


def test_the_page_has_every_live_parameter_as_the_table_says() -> None:
    live = PAGE.read_text().split("## Live audio")[1].split("\n## ")[0]
    assert [line for line in live.splitlines() if line.startswith("| `") and line.count(" | ") == 3] == [
        row.line for row in LIVE if row.name not in FOR_FILES
    ]
    assert all(f"`{name}`" in live for name in FOR_FILES if not name.endswith("_mode"))


def test_every_parameter_is_proved_as_the_table_says() -> None:
    claimed = {claim.item: claim.standing for claim in conformance_page._claims_of(Path(__file__))}
    assert {row.name: claimed.get(f"parameter {row.name}") for row in LIVE if row.name not in FOR_FILES} == {
        row.name: row.standing for row in LIVE if row.name not in FOR_FILES
    }
