"""OpenAI's POST /v1/audio/speech over a real socket against a scripted synth."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import av
import httpx
import pytest

from services.gateway.server import GatewayServer
from tests.unit.gateway.conftest import ScriptedSynth
from tests.unit.gateway.test_speak_native import SENTENCE


def post(gateway: GatewayServer, path: str = "speech", **fields: Any) -> httpx.Response:
    body = {"model": "tts-1", "input": "Hello there.", "voice": "alloy", **fields}
    content = json.dumps({name: value for name, value in body.items() if value is not ...})
    return httpx.post(f"http://127.0.0.1:{gateway.port}/v1/audio/{path}", content=content, timeout=30)


@pytest.mark.conformance("openai", "call POST /v1/audio/speech", "done")
@pytest.mark.conformance("openai", "parameter response_format (speech)", "done")
@pytest.mark.parametrize(
    ("name", "media_type", "rate_hz"),
    [
        (..., "audio/mpeg", 24_000),
        ("mp3", "audio/mpeg", 24_000),
        ("opus", "audio/ogg", 48_000),
        ("aac", "audio/aac", 24_000),
        ("flac", "audio/flac", 24_000),
        ("wav", "audio/wav", 24_000),
    ],
)
def test_every_format(gateway: GatewayServer, name: Any, media_type: str, rate_hz: int) -> None:
    answer = post(gateway, response_format=name)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    with av.open(io.BytesIO(answer.content)) as container:
        assert next(container.decode(audio=0)).sample_rate == rate_hz


def test_pcm_is_24_khz(gateway: GatewayServer) -> None:
    assert post(gateway, response_format="pcm").content == SENTENCE
    assert ScriptedSynth.requests[-1].sample_rate_hz == 24_000


@pytest.mark.conformance("openai", "parameter voice (speech)", "done", "their names select our voices by a table; header x-voice names the one")
@pytest.mark.conformance("openai", "parameter speed (speech)", "done")
@pytest.mark.conformance("openai", "parameter input (speech)", "done")
@pytest.mark.conformance("openai", "parameter model (speech)", "done", "any name: the engine in use speaks")
@pytest.mark.conformance("openai", "parameter instructions (speech)", "accepted without effect")
@pytest.mark.parametrize(("voice", "ours"), [("alloy", "en-us+f2"), ({"id": "fable"}, "en-gb"), ("en-gb+f3", "en-gb+f3"), ({"id": "de"}, "de")])
def test_voices_speed_and_instructions(gateway: GatewayServer, voice: Any, ours: str) -> None:
    answer = post(gateway, voice=voice, speed=1.5, instructions="Speak like a pirate.", model="gpt-4o-mini-tts")
    assert answer.headers["x-voice"] == ours
    asked = ScriptedSynth.requests[-1]
    assert (asked.voice, asked.speed, asked.text) == (ours, 1.5, "Hello there.")


@pytest.mark.conformance("openai", "parameter stream_format (speech)", "done", "usage: input tokens are words, output tokens 1/20 s of audio")
@pytest.mark.conformance("openai", "event speech.audio.delta", "done")
@pytest.mark.conformance("openai", "event speech.audio.done", "done")
def test_server_sent_events(gateway: GatewayServer) -> None:
    answer = post(gateway, stream_format="sse", response_format="pcm")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta") == SENTENCE
    assert events[-1] == {"type": "speech.audio.done", "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": "x" * 4097}, "input", "invalid_parameter"),
        ({"input": ""}, "input", "invalid_parameter"),
        ({"input": ...}, "input", "invalid_parameter"),
        ({"model": ...}, "model", "invalid_parameter"),
        ({"voice": ...}, "voice", "invalid_parameter"),
        ({"voice": {"name": "x"}}, "voice", "invalid_parameter"),
        ({"voice": "nobody"}, "voice", "unknown_voice"),
        ({"speed": 5}, "speed", "invalid_parameter"),
        ({"speed": True}, "speed", "invalid_parameter"),
        ({"speed": "fast"}, "speed", "invalid_parameter"),
        ({"response_format": "midi"}, "response_format", "invalid_parameter"),
        ({"response_format": ["mp3"]}, "response_format", "invalid_parameter"),
        ({"stream_format": "fax"}, "stream_format", "invalid_parameter"),
        ({"instructions": 5}, "instructions", "invalid_parameter"),
        ({"colour": "red"}, "colour", "invalid_parameter"),
    ],
)
def test_refusals_in_their_words(gateway: GatewayServer, fields: dict[str, Any], param: str, code: str) -> None:
    answer = post(gateway, **fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_what_is_no_json(gateway: GatewayServer) -> None:
    for content in (b"hello", b"[1]", b"\xff\xfe", b"[" * 50_000):
        answer = httpx.post(f"http://127.0.0.1:{gateway.port}/v1/audio/speech", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_message")


def test_a_synth_that_does_not_answer(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("synth",), stage_timeout_s=0.3)
    answer = post(gateway, stream_format="sse")
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "server_error")


@pytest.mark.conformance("openai", "call GET /v1/audio/voices", "done")
@pytest.mark.conformance("openai", "call POST /v1/audio/voices", "refused", "no engine here learns a voice from a recording")
@pytest.mark.conformance("openai", "call POST /v1/audio/voice_consents", "refused", "no engine here learns a voice from a recording")
def test_voices(gateway: GatewayServer) -> None:
    listed = httpx.get(f"http://127.0.0.1:{gateway.port}/v1/audio/voices").json()
    names = {voice["id"] for voice in listed["data"]}
    theirs = {"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar", "fable", "onyx", "nova"}
    assert (listed["object"], names) == ("list", theirs)
    for path in ("voices", "voice_consents"):
        assert post(gateway, path).json()["error"]["code"] == "not_supported"
