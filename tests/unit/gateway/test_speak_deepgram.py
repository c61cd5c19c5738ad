"""Deepgram's POST and WebSocket /v1/speak over real sockets against a scripted synth."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import av
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from services.gateway.protocols.deepgram import speak
from services.gateway.protocols.deepgram.speak_parameters import FORMATS, LIVE, REST
from services.gateway.server import GatewayServer
from services.gateway.speech.voices import VOICES
from tests.unit.gateway.conftest import ScriptedSynth
from tests.unit.gateway.test_speak_native import SENTENCE, everything, held, received, requests
from voxrelay.storage.access import AccessStore

__all__ = ["held"]  # a fixture


def post(gateway: GatewayServer, query: str = "?model=aura-asteria-en", body: Any = None, **options: Any) -> httpx.Response:
    body = {"text": "Hello there."} if body is None else body
    return httpx.post(f"http://127.0.0.1:{gateway.port}/v1/speak{query}", json=body, timeout=30, **options)


def dial(gateway: GatewayServer, query: str = "", **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/v1/speak{query}", compression=None, **options)


@pytest.mark.conformance("deepgram", "call POST /v1/speak", "done")
@pytest.mark.conformance("deepgram", "parameter model (speak)", "done", "an Aura name selects a voice of ours by a table; the answer names that one")
def test_an_answer_and_its_headers(gateway: GatewayServer) -> None:
    answer = post(gateway)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["dg-model-name"] == "en-us+f2"
    assert answer.headers["dg-char-count"] == "12"
    uuid.UUID(answer.headers["dg-request-id"])
    assert answer.headers["dg-model-uuid"] == post(gateway, "?model=en-us%2Bf2").headers["dg-model-uuid"]
    assert ScriptedSynth.requests[-1].voice == "en-us+f2"


def test_without_their_parameters_it_is_the_native_call(gateway: GatewayServer) -> None:
    answer = post(gateway, "")
    assert answer.headers["content-type"] == "audio/wav"
    assert "dg-request-id" not in answer.headers
    assert post(gateway, "", {}).json()["error"]["code"] == "INVALID_PARAMETER"


@pytest.mark.conformance("deepgram", "parameter encoding (speak)", "done")
@pytest.mark.conformance("deepgram", "parameter container (speak)", "done")
@pytest.mark.conformance("deepgram", "parameter sample_rate (speak)", "done")
@pytest.mark.parametrize(
    ("query", "media_type", "rate_hz"),
    [
        ("encoding=linear16", "audio/wav", 24_000),
        ("encoding=linear16&container=wav&sample_rate=8000", "audio/wav", 8_000),
        ("encoding=linear16&container=none&sample_rate=48000", "audio/L16;rate=48000;channels=1", 0),
        ("encoding=mulaw", "audio/wav", 8_000),
        ("encoding=mulaw&container=none", "audio/PCMU;rate=8000;channels=1", 0),
        ("encoding=alaw&sample_rate=16000.0", "audio/wav", 16_000),
        ("encoding=alaw&container=none", "audio/PCMA;rate=8000;channels=1", 0),
        ("encoding=flac&sample_rate=16000", "audio/flac", 16_000),
        ("encoding=mp3", "audio/mpeg", 22_050),
        ("encoding=opus&container=ogg", "audio/ogg", 48_000),
        ("encoding=aac", "audio/aac", 22_050),
    ],
)
def test_every_encoding_and_container(gateway: GatewayServer, query: str, media_type: str, rate_hz: int) -> None:
    answer = post(gateway, f"?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    if not rate_hz:
        assert len(answer.content) == 3000 * (2 if "linear16" in query else 1)
        return
    with av.open(io.BytesIO(answer.content)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].sample_rate == rate_hz


@pytest.mark.conformance("deepgram", "parameter bit_rate (speak)", "done", "mp3 32000 to 48000, opus 4000 to 256000, aac 4000 to 192000")
def test_bit_rates(gateway: GatewayServer) -> None:
    text = {"text": "A. " * 200}
    sizes = [len(post(gateway, f"?encoding=opus&bit_rate={bit_rate}", text).content) for bit_rate in (6000, 64000)]
    assert 2 * sizes[0] < sizes[1]


@pytest.mark.conformance("deepgram", "parameter speed (speak)", "done")
@pytest.mark.conformance("deepgram", "parameter tag (speak)", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter mip_opt_out (speak)", "accepted without effect")
def test_speed_and_what_has_no_effect(gateway: GatewayServer) -> None:
    assert post(gateway, "?speed=1.3&tag=a&tag=b&mip_opt_out=True").status_code == 200
    assert ScriptedSynth.requests[-1].speed == 1.3


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("?model=aura-nobody-en", None, 400, "UNKNOWN_VOICE"),
        ("?model=nobody", None, 400, "UNKNOWN_VOICE"),
        ("?encoding=gsm", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?encoding=mp3&container=ogg", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?encoding=mp3&sample_rate=8000", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?encoding=linear16&sample_rate=0", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?encoding=linear16&bit_rate=8000", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?encoding=mp3&bit_rate=8000", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?speed=nan", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?speed=9", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?model=aura-asteria-en&colour=red", None, 400, "INVALID_QUERY_PARAMETER"),
        ("?model=aura-asteria-en", {}, 400, "INVALID_MESSAGE"),
        ("?model=aura-asteria-en", {"text": " "}, 400, "INVALID_MESSAGE"),
        ("?model=aura-asteria-en", {"text": "Hi", "url": "https://example.org/"}, 400, "INVALID_MESSAGE"),
        ("?model=aura-asteria-en", ["Hi"], 400, "INVALID_MESSAGE"),
        ("?model=aura-asteria-en", {"text": "x" * 20_001}, 413, "TEXT_TOO_LONG"),
        ("?model=aura-asteria-en", {"text": "x" * 1_100_000}, 413, "MESSAGE_TOO_LARGE"),
        ("?model=aura-asteria-en", {"url": "http://127.0.0.1/text"}, 400, "REMOTE_CONTENT_ERROR"),
        ("?callback=ftp://example.org/heard", None, 400, "REMOTE_CONTENT_ERROR"),
    ],
)
def test_refusals_in_their_words(gateway: GatewayServer, query: str, body: Any, status: int, code: str) -> None:
    answer = post(gateway, query, body)
    assert (answer.status_code, answer.json()["err_code"]) == (status, code)
    assert answer.json().keys() == {"err_code", "err_msg", "request_id"}
    assert answer.headers["dg-error"] == answer.json()["err_msg"]


class _Web:
    """A server on this machine: GET gives a text, POST and PUT are kept."""

    def __init__(self) -> None:
        kept: Queue[tuple[str, str, bytes]] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write("A text from elsewhere, gr\u00fcn.".encode())

            def do_POST(self) -> None:
                kept.put((self.command, self.headers["content-type"], self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        self.kept = kept
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[_Web]:
    server = _Web()
    yield server
    server.stop()


@pytest.mark.conformance("deepgram", "parameter callback (speak)", "done")
@pytest.mark.conformance("deepgram", "parameter callback_method (speak)", "done")
def test_a_text_is_fetched_and_audio_is_called_back(make_gateway: Callable[..., GatewayServer], web: _Web) -> None:
    gateway = make_gateway(allowed_internal_hosts=("127.0.0.1",))
    answer = post(gateway, f"?encoding=linear16&callback={web.url}&callback_method=PUT", {"url": web.url})
    assert answer.json().keys() == {"request_id"}
    assert answer.headers["dg-char-count"] == "28"
    method, media_type, audio = web.kept.get(timeout=20)
    assert (method, media_type, audio[44:]) == ("PUT", "audio/wav", SENTENCE)
    assert requests("gr\u00fcn")


def test_every_parameter_is_claimed() -> None:
    assert {row.name for row in (*REST, *LIVE)} == {
        "model", "encoding", "container", "sample_rate", "bit_rate", "speed", "callback", "callback_method", "tag", "mip_opt_out",
    }  # fmt: skip
    assert all(form.rates_hz for form in FORMATS.values())


# --- WebSocket ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("deepgram", "call WebSocket /v1/speak", "done")
@pytest.mark.conformance("deepgram", "event Metadata (speak)", "done")
@pytest.mark.conformance("deepgram", "message Speak", "done")
@pytest.mark.conformance("deepgram", "message Flush", "done")
@pytest.mark.conformance("deepgram", "message Close", "done")
@pytest.mark.conformance("deepgram", "event Flushed", "done")
async def test_a_conversation(gateway: GatewayServer) -> None:
    async with dial(gateway, "?model=aura-2-draco-en&speed=1.2") as socket:
        for text in ("Liveword one. Live", "word two"):
            await socket.send(json.dumps({"type": "Speak", "text": text}))
        await socket.send(json.dumps({"type": "Flush"}))
        await socket.send(json.dumps({"type": "Speak", "text": "Liveword three"}))
        await socket.send(json.dumps({"type": "Close"}))
        messages = await everything(socket)
        assert socket.close_code == 1000
        request_id = socket.response.headers["dg-request-id"]
    metadata = {"type": "Metadata", "request_id": request_id, "model_name": "en-gb", "model_version": "1", "model_uuid": messages[0]["model_uuid"]}
    assert messages == [metadata, 2 * SENTENCE, {"type": "Flushed", "sequence_id": 0}, SENTENCE]
    assert {(asked.voice, asked.speed, asked.sample_rate_hz) for asked in requests("Liveword")} == {("en-gb", 1.2, 24_000)}


@pytest.mark.conformance("deepgram", "message Clear", "done")
@pytest.mark.conformance("deepgram", "event Cleared", "done")
async def test_clear(gateway: GatewayServer, held: None) -> None:
    async with dial(gateway) as socket:
        await socket.send(json.dumps({"type": "Flush"}))
        await socket.send(json.dumps({"type": "Speak", "text": "HOLD this. And this. And"}))
        assert [(await received(socket))["type"] for _ in range(2)] == ["Metadata", "Flushed"]
        await socket.send(json.dumps({"type": "Clear"}))
        assert await received(socket) == {"type": "Cleared", "sequence_id": 1}
        await socket.send(json.dumps({"type": "Close"}))
        assert await everything(socket) == []


@pytest.mark.parametrize(("encoding", "sample_bytes"), [("linear16", 2), ("mulaw", 1), ("alaw", 1)])
async def test_live_encodings(gateway: GatewayServer, encoding: str, sample_bytes: int) -> None:
    async with dial(gateway, f"?encoding={encoding}&sample_rate=8000") as socket:
        await socket.send(json.dumps({"type": "Speak", "text": "Hello."}))
        await socket.send(json.dumps({"type": "Close"}))
        assert len((await everything(socket))[1]) == 3000 * sample_bytes


@pytest.mark.conformance("deepgram", "event Warning", "done", "flush limit, text limit, and before a close that is no 1000")
async def test_flushes_are_limited(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speak, "MOST_FLUSHES", 3)
    async with dial(gateway) as socket:
        for _ in range(5):
            await socket.send(json.dumps({"type": "Flush"}))
        await socket.send(json.dumps({"type": "Close"}))
        messages = await everything(socket)
    kinds = [message["type"] for message in messages]
    assert (kinds.count("Flushed"), kinds.count("Warning")) == (3, 2)
    assert next(message for message in messages if message["type"] == "Warning").keys() == {"type", "code", "description"}


def test_the_limit_is_twenty_in_a_minute_and_the_window_moves() -> None:
    now = 0.0

    class Silent:
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    silent: Any = Silent()
    dialect = speak.DeepgramDialect("", Any, silent, lambda: now)  # type: ignore[arg-type]
    answers = []
    for second in range(90):
        now = float(second)
        answers.append(bool(dialect.take({"type": "Flush"})))
    assert answers == [False] * 20 + [True] * 40 + [False] * 20 + [True] * 10
    assert silent.flushes == 40


async def test_too_much_text_is_warned_of(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await socket.send(json.dumps({"type": "Speak", "text": "x" * 20_001}))
        await socket.send(json.dumps({"type": "Speak", "text": "Hello"}))
        await socket.send(json.dumps({"type": "Close"}))
        messages = await everything(socket)
    assert sorted(message["type"] for message in messages if isinstance(message, dict)) == ["Metadata", "Warning"]
    assert SENTENCE in messages


@pytest.mark.parametrize(
    ("message", "close_code", "reason"),
    [
        ('{"type":"Sing"}', 1007, "INVALID_MESSAGE"),
        ('{"type":"Speak"}', 1007, "INVALID_MESSAGE"),
        ("hello", 1007, "INVALID_MESSAGE"),
        (b"\x00", 1007, "INVALID_MESSAGE"),
    ],
)
async def test_what_ends_a_conversation(gateway: GatewayServer, message: Any, close_code: int, reason: str) -> None:
    async with dial(gateway) as socket:
        await socket.send(message)
        assert (await everything(socket))[-1]["type"] == "Warning"
        assert (socket.close_code, socket.close_reason) == (close_code, reason)


async def test_idle(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(idle_s=0.2)
    async with dial(gateway) as socket:
        await everything(socket)
        assert (socket.close_code, socket.close_reason) == (1011, "NET-0001")


@pytest.mark.parametrize("query", ["?encoding=mp3", "?container=wav", "?sample_rate=44100", "?model=aura-nobody-en", "?bit_rate=1"])
async def test_refused_before_the_upgrade(gateway: GatewayServer, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(gateway, query):
            pass
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["err_code"] in ("INVALID_QUERY_PARAMETER", "UNKNOWN_VOICE")
    assert refused.value.response.headers["dg-error"]


async def test_keys(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    key = access.create_key("somebody", "enterprise")[1]
    gateway = make_gateway(database_url=access.url)
    with pytest.raises(InvalidStatus) as refused:
        async with dial(gateway):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["err_code"] == "INVALID_AUTH"
    assert (await asyncio.to_thread(post, gateway)).json()["err_code"] == "INVALID_AUTH"
    async with dial(gateway, additional_headers={"Authorization": f"Token {key}"}) as socket:
        assert (await received(socket))["type"] == "Metadata"
    async with dial(gateway, subprotocols=["token", key]) as socket:
        assert socket.subprotocol == "token"
    assert (await asyncio.to_thread(post, gateway, headers={"Authorization": f"Token {key}"})).status_code == 200


def test_every_name_of_theirs_selects_a_voice_of_its_language() -> None:
    models = [model for voice in VOICES for model in voice.deepgram_models]
    assert len(models) == len(set(models))
    assert len({voice.name for voice in VOICES}) == len(VOICES)
