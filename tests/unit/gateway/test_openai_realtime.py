"""WebSocket /v1/realtime and POST /v1/realtime/client_secrets over real sockets, as OpenAI's clients use them."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway.server import GatewayServer
from tests.unit.gateway import conftest
from voxrelay.storage.access import AccessStore

RATE_HZ = 24_000
SECOND = bytes(2 * RATE_HZ)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
SECRETS = "/v1/realtime/client_secrets"


class Client:
    """One connection; ``seen`` has every event so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind} | fields))

    async def append(self, pcm: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def configure(self, **parts: Any) -> dict[str, Any]:
        """``audio.input`` with these parts; the session as it is told back."""
        await self.send("session.update", session={"type": "transcription", "audio": {"input": parts}})
        return dict((await self.until("session.updated"))["session"])

    async def until(self, kind: str, times: int = 1) -> dict[str, Any]:
        """The event of this kind that comes next, or the so-manieth."""
        for _ in range(times):
            while True:
                event = json.loads(await asyncio.wait_for(self.socket.recv(), 20))
                self.seen.append(event)
                if event["type"] == kind:
                    break
        return event

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.seen if event["type"] == kind]

    @property
    def transcripts(self) -> list[str]:
        return [event["transcript"] for event in self.of(f"{TRANSCRIPTION}.completed")]


@asynccontextmanager
async def dial(gateway: GatewayServer, query: str = "?intent=transcription", **options: Any) -> AsyncIterator[Client]:
    async with connect(f"ws://127.0.0.1:{gateway.port}/v1/realtime{query}", compression=None, **options) as socket:
        yield Client(socket)


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the services were asked for, an entry an utterance."""
    seen: list[Any] = []
    original = conftest.transcribe

    def transcribe(ended: Any, config: Any) -> Any:
        seen.append(config)
        return original(ended, config)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    return seen


# --- turns that the server detects ------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "call WS /v1/realtime?intent=transcription", "done")
@pytest.mark.conformance("openai", "message session.update", "done")
@pytest.mark.conformance("openai", "message input_audio_buffer.append", "done")
@pytest.mark.conformance("openai", "event session.created", "done")
@pytest.mark.conformance("openai", "event session.updated", "done")
@pytest.mark.conformance("openai", "event input_audio_buffer.speech_started", "done")
@pytest.mark.conformance("openai", "event input_audio_buffer.speech_stopped", "done")
@pytest.mark.conformance("openai", "event input_audio_buffer.committed", "done")
@pytest.mark.conformance("openai", "event conversation.item.added", "done")
@pytest.mark.conformance("openai", "event conversation.item.done", "done", "with the transcript, after completed")
@pytest.mark.conformance(
    "openai", "event conversation.item.input_audio_transcription.delta", "done", "with the final; with a delay, words that have stood for so long"
)
@pytest.mark.conformance("openai", "event conversation.item.input_audio_transcription.completed", "done")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.model", "accepted without effect", "but …-diarize: speakers are told apart")
async def test_a_whole_session(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        created = await client.until("session.created")
        assert created["session"]["type"] == "transcription"
        session = await client.configure(format={"type": "audio/pcm", "rate": RATE_HZ}, transcription={"model": "gpt-4o-transcribe"})
        assert session["id"] == created["session"]["id"]
        assert session["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"
        for at in range(0, 2 * len(SECOND) + 9602, 4801):  # no respect for sample borders
            await client.append((3 * SECOND)[at : at + 4801])
        await client.until("conversation.item.done", times=2)
    events = [event for event in client.seen[2:] if event.get("item_id") or event.get("item")]
    first = events[0]["item_id"]
    of_first = [event for event in events if (event.get("item_id") or event["item"]["id"]) == first]
    assert [event["type"].removeprefix("input_audio_").removeprefix("conversation.item.input_audio_") for event in of_first] == [
        "buffer.speech_started",
        "buffer.speech_stopped",
        "buffer.committed",
        "conversation.item.added",
        "transcription.delta",
        "transcription.completed",
        "conversation.item.done",
    ]
    assert (of_first[0]["audio_start_ms"], of_first[1]["audio_end_ms"]) == (0, 1000)
    assert of_first[5]["usage"] == {"type": "duration", "seconds": 1.0}
    assert of_first[5]["languages"] == [{"code": "en"}]
    assert "logprobs" not in of_first[5]
    assert of_first[6]["item"]["content"] == [{"type": "input_audio", "transcript": "hello u1"}]
    assert of_first[6]["item"]["status"] == "completed"
    assert [event["previous_item_id"] for event in client.of("input_audio_buffer.committed")] == [None, first]
    assert client.transcripts == ["hello u1", "hello u2"]
    assert len({event["event_id"] for event in client.seen}) == len(client.seen)


@pytest.mark.conformance("openai", "format audio/pcm (24 kHz)", "done")
@pytest.mark.conformance("openai", "format audio/pcmu", "done")
@pytest.mark.conformance("openai", "format audio/pcma", "done")
@pytest.mark.parametrize(("kind", "second"), [("audio/pcm", SECOND), ("audio/pcmu", bytes(range(250)) * 32), ("audio/pcma", bytes(range(250)) * 32)])
async def test_formats(gateway: GatewayServer, kind: str, second: bytes) -> None:
    async with dial(gateway) as client:
        session = await client.configure(format={"type": kind})
        assert session["audio"]["input"]["format"] == ({"type": kind, "rate": RATE_HZ} if kind == "audio/pcm" else {"type": kind})
        await client.append(second + second[:100])
        assert (await client.until("input_audio_buffer.speech_stopped"))["audio_end_ms"] == 1000


async def test_an_utterance_without_words_completes_too(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    original = conftest.transcribe

    def transcribe(ended: Any, config: Any) -> Any:
        *_, final = original(ended, config)
        return (replace(final, text="", words=()),)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    async with dial(make_gateway()) as client:
        await client.append(SECOND)
        done = await client.until("conversation.item.done")
    assert client.transcripts == [""]
    assert done["item"]["content"][0]["transcript"] == ""
    assert not client.of(f"{TRANSCRIPTION}.delta")


@pytest.mark.conformance("openai", "event conversation.item.input_audio_transcription.segment", "done", "for models that end in -diarize")
async def test_speakers(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        await client.configure(transcription={"model": "gpt-4o-transcribe-diarize"})
        await client.append(2 * SECOND)
        await client.until("conversation.item.done", times=2)
    first, second = client.of(f"{TRANSCRIPTION}.segment")
    assert (first["speaker"], first["text"], first["start"], first["end"], first["content_index"]) == ("A", "hello u1", 0.0, 1.0, 0)
    assert (second["speaker"], second["id"]) == ("B", "seg_1")
    assert first["item_id"] != second["item_id"]


@pytest.mark.conformance("openai", "parameter include (item.input_audio_transcription.logprobs)", "done", "on completed")
async def test_logprobs(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        await client.send("session.update", session={"type": "transcription", "include": ["item.input_audio_transcription.logprobs"]})
        await client.append(SECOND)
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert "".join(entry["token"] for entry in completed["logprobs"]) == "hello u1"
    assert completed["logprobs"][0] == {"token": "hello", "bytes": list(b"hello"), "logprob": -0.1054}


@pytest.mark.conformance("openai", "parameter audio.input.turn_detection (server_vad): silence_duration_ms", "done")
@pytest.mark.conformance(
    "openai", "parameter audio.input.turn_detection (server_vad): threshold", "accepted without effect", "the detector has its own"
)
@pytest.mark.conformance("openai", "parameter audio.input.turn_detection (server_vad): prefix_padding_ms", "accepted without effect", "300 ms")
@pytest.mark.conformance("openai", "parameter audio.input.turn_detection: create_response", "accepted without effect", "there are no responses")
@pytest.mark.conformance("openai", "parameter audio.input.turn_detection: interrupt_response", "accepted without effect", "there are no responses")
@pytest.mark.conformance(
    "openai", "parameter audio.input.turn_detection (semantic_vad): eagerness", "done", "the length of the pause, not its meaning"
)
@pytest.mark.conformance("openai", "parameter audio.input.noise_reduction", "done", "null: off; else as far as recognition gains, or its strength")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.language", "done")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.languages", "done", "the one that is known here; several: detected")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.prompt", "done", "a list of terms; running text has no effect")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.keywords", "done", "custom vocabulary")
@pytest.mark.conformance("openai", "parameter audio.input.transcription.delay", "done", "for how long a word must stand before it is told")
@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        ({}, {"pause_ms": 0, "noise_suppression": -1.0, "custom_vocabulary": (), "language": ""}),
        ({"turn_detection": {"type": "server_vad", "silence_duration_ms": 700, "threshold": 0.6, "prefix_padding_ms": 100}}, {"pause_ms": 700}),
        ({"turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": False}}, {"pause_ms": 500}),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}, {"pause_ms": 1500}),
        ({"turn_detection": {"type": "semantic_vad"}}, {"pause_ms": 800}),
        ({"noise_reduction": None}, {"noise_suppression": 0.0}),
        ({"noise_reduction": {"type": "near_field"}}, {"noise_suppression": -1.0}),
        ({"noise_reduction": {"type": "far_field", "strength": 0.5}}, {"noise_suppression": 0.5}),
        ({"transcription": {"language": "en", "delay": "xhigh"}}, {"language": "en"}),
        ({"transcription": {"languages": ["de", "en"]}}, {"language": "en"}),
        ({"transcription": {"keywords": ["Kenobi"], "prompt": "Grievous, Zyntrix"}}, {"custom_vocabulary": ("Kenobi", "Grievous", "Zyntrix")}),
        ({"transcription": None}, {"custom_vocabulary": ()}),
    ],
)
async def test_what_is_asked_for(
    make_gateway: Callable[..., GatewayServer], configs: list[Any], parts: dict[str, Any], asked: dict[str, Any]
) -> None:
    async with dial(make_gateway()) as client:
        shown = (await client.configure(**parts))["audio"]["input"]
        await client.append(SECOND)
        await client.until(f"{TRANSCRIPTION}.completed")
    assert {name: getattr(configs[0], name) for name in asked} == asked
    assert configs[0].stages == ("denoise", "transcribe")
    assert "threshold" not in (shown["turn_detection"] or {})  # what is not in force is not told back


async def test_wishes_change_between_utterances_and_what_is_left_out_stays(make_gateway: Callable[..., GatewayServer], configs: list[Any]) -> None:
    async with dial(make_gateway()) as client:
        await client.configure(turn_detection={"type": "server_vad", "silence_duration_ms": 900})
        await client.append(SECOND)
        await client.until(f"{TRANSCRIPTION}.completed")
        await client.configure(transcription={"keywords": ["Kenobi"]})
        await client.append(SECOND)
        await client.until(f"{TRANSCRIPTION}.completed")
    assert client.transcripts == ["hello u1", "hello u2 Kenobi"]
    assert [config.pause_ms for config in configs] == [900, 900]
    assert configs[1].sample_rate_hz == RATE_HZ


@pytest.mark.conformance("openai", "event input_audio_buffer.timeout_triggered", "done", "by the clock of the audio")
@pytest.mark.conformance(
    "openai", "parameter audio.input.turn_detection (server_vad): idle_timeout_ms", "done", "an empty item after so much silence"
)
async def test_silence_times_out(make_gateway: Callable[..., GatewayServer]) -> None:
    async with dial(make_gateway(leave_out=("denoise",))) as client:  # so nobody ever speaks
        await client.configure(turn_detection={"type": "server_vad", "idle_timeout_ms": 1500})
        for _ in range(4):
            await client.append(SECOND)
        await client.until("conversation.item.done", times=2)
    spans = [(event["audio_start_ms"], event["audio_end_ms"]) for event in client.of("input_audio_buffer.timeout_triggered")]
    assert spans == [(0, 2000), (2000, 4000)]
    assert client.transcripts == ["", ""]
    triggered, committed = client.of("input_audio_buffer.timeout_triggered")[0], client.of("input_audio_buffer.committed")[0]
    assert triggered["item_id"] == committed["item_id"]


# --- turns that the client makes ----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "message input_audio_buffer.commit", "done")
@pytest.mark.conformance("openai", "parameter audio.input.turn_detection (null)", "done", "an item is what lies between two commits")
async def test_a_client_that_commits(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        assert (await client.configure(turn_detection=None))["audio"]["input"]["turn_detection"] is None
        await client.append(2 * SECOND + SECOND[:RATE_HZ])
        await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.done")
        await client.append(SECOND[:RATE_HZ])
        await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.done")
    assert client.transcripts == ["hello u1 hello u2 hello u3", "hello u4"]
    assert [event["usage"]["seconds"] for event in client.of(f"{TRANSCRIPTION}.completed")] == [2.5, 0.5]
    assert not client.of("input_audio_buffer.speech_started")
    first, second = client.of("input_audio_buffer.committed")
    assert (first["previous_item_id"], second["previous_item_id"]) == (None, first["item_id"])
    deltas = [event["delta"] for event in client.of(f"{TRANSCRIPTION}.delta") if event["item_id"] == first["item_id"]]
    assert "".join(deltas) == "hello u1 hello u2 hello u3"
    assert len(deltas) >= 3


async def test_a_commit_while_turns_are_detected_cuts_the_one_that_goes_on(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        await client.append(SECOND[:RATE_HZ])
        await client.send("input_audio_buffer.commit")
        stopped = await client.until("input_audio_buffer.speech_stopped")
        await client.until("conversation.item.done")
    assert stopped["audio_end_ms"] == 500
    assert client.transcripts == ["hello u1"]


@pytest.mark.conformance("openai", "message input_audio_buffer.clear", "done", "what was cleared is not told")
@pytest.mark.conformance("openai", "event input_audio_buffer.cleared", "done")
async def test_what_is_cleared_is_not_told(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        await client.send("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")
        await client.configure(turn_detection=None)
        await client.append(SECOND)
        await client.send("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")
        await client.append(SECOND)
        await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.done")
    assert client.transcripts == ["hello u2"]


# --- mistakes -----------------------------------------------------------------------------------------------------------------------


def update_of(**parts: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": parts}}}


INPUT = "session.audio.input"
MISTAKES: list[tuple[Any, str | None, str]] = [
    ("{", None, "invalid_message"),
    ("[]", "type", "invalid_message"),
    (b"\x00\x01", None, "invalid_message"),
    ({"type": "session.explode"}, "type", "invalid_message"),
    ({"type": ["x"]}, "type", "invalid_message"),
    ({"type": "response.create"}, "type", "not_supported"),
    ({"type": "conversation.item.create"}, "type", "not_supported"),
    ({"type": "input_audio_buffer.append", "audio": "###"}, "audio", "invalid_message"),
    ({"type": "input_audio_buffer.append", "audio": 7}, "audio", "invalid_message"),
    ({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"this is a text and no audio at all").decode()}, None, "invalid_audio_format"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer", "input_audio_buffer_commit_empty"),
    ({"type": "session.update"}, "session", "invalid_parameter"),
    ({"type": "session.update", "session": {"type": "realtime"}}, "session.type", "invalid_parameter"),
    ({"type": "session.update", "session": {"instructions": "x"}}, "session.instructions", "invalid_parameter"),
    ({"type": "session.update", "session": {"include": ["all"]}}, "session.include", "invalid_parameter"),
    ({"type": "session.update", "session": {"include": 1}}, "session.include", "invalid_parameter"),
    (update_of(colour=1), f"{INPUT}.colour", "invalid_parameter"),
    (update_of(format={"type": "audio/opus"}), f"{INPUT}.format.type", "invalid_parameter"),
    (update_of(format={"type": "audio/pcm", "rate": 16000}), f"{INPUT}.format.rate", "unsupported_sample_rate"),
    (update_of(format=[]), f"{INPUT}.format", "invalid_parameter"),
    (update_of(noise_reduction={"type": "mid_field"}), f"{INPUT}.noise_reduction.type", "invalid_parameter"),
    (update_of(noise_reduction={"type": "near_field", "strength": 3}), f"{INPUT}.noise_reduction.strength", "invalid_parameter"),
    (update_of(transcription={"language": "tlh"}), f"{INPUT}.transcription.language", "unsupported_language"),
    (update_of(transcription={"delay": "none"}), f"{INPUT}.transcription.delay", "invalid_parameter"),
    (update_of(transcription={"keywords": "k"}), f"{INPUT}.transcription.keywords", "invalid_parameter"),
    (update_of(transcription={"model": 4}), f"{INPUT}.transcription.model", "invalid_parameter"),
    (update_of(turn_detection={"type": "none"}), f"{INPUT}.turn_detection.type", "invalid_parameter"),
    (update_of(turn_detection={"type": "server_vad", "threshold": 2}), f"{INPUT}.turn_detection.threshold", "invalid_parameter"),
    (update_of(turn_detection={"type": "server_vad", "create_response": "x"}), f"{INPUT}.turn_detection.create_response", "invalid_parameter"),
    (update_of(turn_detection={"type": "semantic_vad", "threshold": 0.5}), f"{INPUT}.turn_detection.threshold", "invalid_parameter"),
    (update_of(turn_detection={"type": "semantic_vad", "eagerness": "huge"}), f"{INPUT}.turn_detection.eagerness", "invalid_parameter"),
    ({"type": "transcription_session.update", "session": {"input_audio_format": "mp3"}}, "session.input_audio_format", "invalid_parameter"),
]


@pytest.mark.conformance("openai", "event error", "done", "the session lives on")
@pytest.mark.conformance("openai", "message response.create and others of conversations", "refused", "it answers with transcripts only")
async def test_mistakes_are_answered_and_the_session_lives(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        for event, param, code in MISTAKES:
            await client.socket.send(json.dumps(event | {"event_id": "mine"}) if isinstance(event, dict) else event)
            error = await client.until("error")
            assert error["event_id"] != "mine"
            assert (error["error"]["param"], error["error"]["code"]) == (param, code), event
            assert error["error"]["type"] == "invalid_request_error"
            assert error["error"]["event_id"] == ("mine" if isinstance(event, dict) else None)
        await client.append(SECOND)
        await client.until(f"{TRANSCRIPTION}.completed")
    assert client.transcripts == ["hello u1"]


async def test_the_format_is_fixed_by_the_first_audio(gateway: GatewayServer) -> None:
    async with dial(gateway) as client:
        await client.append(SECOND)
        for parts in ({"format": {"type": "audio/pcmu"}}, {"transcription": {"model": "x-diarize"}}):
            await client.socket.send(json.dumps(update_of(**parts)))
            assert (await client.until("error"))["error"]["param"] == INPUT
        await client.append(SECOND)
        await client.until("input_audio_buffer.committed")


async def test_events_have_a_largest_size(make_gateway: Callable[..., GatewayServer]) -> None:
    async with dial(make_gateway(max_frame_bytes=10_000)) as client:
        await client.append(SECOND)
        with pytest.raises(ConnectionClosed):
            await client.until("nothing")
        assert client.socket.close_code == 1009


@pytest.mark.parametrize(
    ("settings", "code", "close_code"), [({"idle_s": 0.3}, "session_idle", 1008), ({"session_lifetime_s": 0.3}, "session_expired", 1000)]
)
async def test_a_session_ends_by_itself(make_gateway: Callable[..., GatewayServer], settings: dict[str, Any], code: str, close_code: int) -> None:
    async with dial(make_gateway(**settings)) as client:
        assert (await client.until("error"))["error"]["code"] == code
        with pytest.raises(ConnectionClosed):
            await client.until("nothing")
        assert client.socket.close_code == close_code


async def test_what_was_committed_fails_when_the_log_does(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("transcribe",))
    async with dial(gateway) as client:
        await client.append(SECOND)
        committed = await client.until("input_audio_buffer.committed")
        (session,) = gateway._hub._sessions.values()
        gateway._loop.call_soon_threadsafe(session.fail, "LOG_UNAVAILABLE", "The event log does not take audio.")  # type: ignore[union-attr]
        failed = await client.until(f"{TRANSCRIPTION}.failed")
        assert (failed["item_id"], failed["error"]["code"]) == (committed["item_id"], "log_unavailable")
        assert (await client.until("error"))["error"]["type"] == "server_error"
        with pytest.raises(ConnectionClosed):
            await client.until("nothing")
        assert client.socket.close_code == 1013


@pytest.mark.conformance("openai", "parameter intent", "done", "transcription, also when it is left out")
@pytest.mark.parametrize(("query", "param"), [("?intent=conversation", "intent"), ("?colour=red", "colour")])
async def test_queries_that_are_refused(gateway: GatewayServer, query: str, param: str) -> None:
    async with dial(gateway, query) as client:
        assert (await client.until("error"))["error"]["param"] == param
    async with dial(gateway, "?model=gpt-realtime") as client:
        await client.until("session.created")


# --- before GA ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "message transcription_session.update", "done", "the shape before GA")
@pytest.mark.conformance("openai", "event transcription_session.updated", "done")
async def test_the_shape_before_ga(make_gateway: Callable[..., GatewayServer], configs: list[Any]) -> None:
    asked = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "Kenobi"},
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 600},
        "input_audio_noise_reduction": {"type": "near_field"},
        "include": ["item.input_audio_transcription.logprobs"],
    }
    async with dial(make_gateway()) as client:
        await client.send("transcription_session.update", session=asked)
        session = (await client.until("transcription_session.updated"))["session"]
        await client.append(bytes(range(250)) * 32)
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert session["input_audio_format"] == "g711_ulaw"
    assert session["turn_detection"] == {"type": "server_vad", "silence_duration_ms": 600}
    assert completed["transcript"] == "hello u1 Kenobi"
    assert completed["logprobs"]
    assert (configs[0].sample_rate_hz, configs[0].pause_ms) == (8000, 600)


# --- browsers -----------------------------------------------------------------------------------------------------------------------


def mint(gateway: GatewayServer, body: Any, key: str = "") -> httpx.Response:
    url = f"http://127.0.0.1:{gateway.port}{SECRETS}"
    return httpx.post(url, json=body, headers={"authorization": f"Bearer {key}".strip()}, timeout=20)


@pytest.mark.conformance("openai", "call POST /v1/realtime/client_secrets", "done")
@pytest.mark.conformance("openai", "parameter expires_after", "done")
@pytest.mark.conformance("openai", "parameter session (client_secrets)", "done", "a session opened with the secret begins like this")
@pytest.mark.conformance("openai", "key as subprotocol openai-insecure-api-key.…", "done")
async def test_a_secret_opens_the_session_it_was_made_for(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    key = access.create_key("somebody", "enterprise")[1]
    gateway = make_gateway(database_url=access.url)
    wanted = {"type": "transcription", "audio": {"input": {"turn_detection": None, "transcription": {"keywords": ["Kenobi"]}}}}
    answer = mint(gateway, {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": wanted}, key).json()
    assert 0 < answer["expires_at"] - time.time() <= 61
    assert answer["session"]["object"] == "realtime.transcription_session"
    assert answer["session"]["audio"]["input"]["turn_detection"] is None
    assert answer["value"].startswith("ek_")
    protocols: Any = ["realtime", f"openai-insecure-api-key.{answer['value']}", "openai-beta.realtime-v1"]
    for options in ({"additional_headers": {"authorization": f"Bearer {answer['value']}"}}, {"subprotocols": protocols}):
        async with dial(gateway, **options) as client:
            assert client.socket.subprotocol == ("realtime" if "subprotocols" in options else None)
            created = await client.until("session.created")
            assert created["session"]["audio"]["input"]["turn_detection"] is None
            await client.append(SECOND)
            await client.send("input_audio_buffer.commit")
            await client.until(f"{TRANSCRIPTION}.completed")
            assert client.transcripts == ["hello u1 Kenobi"]


@pytest.mark.parametrize("key", ["", "wrong", "ek_a.b.c~e30", "ek_a.b.c~###"])
async def test_without_a_good_key_nobody_comes_in(make_gateway: Callable[..., GatewayServer], access: AccessStore, key: str) -> None:
    access.create_key("somebody", "enterprise")
    gateway = make_gateway(database_url=access.url)
    async with dial(gateway, additional_headers={"authorization": f"Bearer {key}"}) as client:
        assert (await client.until("error"))["error"]["code"] == "invalid_api_key"
        with pytest.raises(ConnectionClosed):
            await client.until("nothing")
        assert client.socket.close_code == 1008
    assert mint(gateway, {}, key).status_code == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "tomorrow"}}, "expires_after.anchor"),
        ({"expires_after": 7}, "expires_after"),
        ({"session": {"type": "realtime"}}, "session.type"),
        ({"session": {"audio": {"input": {"transcription": {"keywords": ["k" * 90] * 60}}}}}, "session"),
        ({"colour": 1}, "colour"),
        ([1], "body"),
    ],
)
def test_secrets_that_cannot_be_made(gateway: GatewayServer, body: Any, param: str) -> None:
    answer = mint(gateway, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_a_body_too_large_and_none_at_all(gateway: GatewayServer) -> None:
    url = f"http://127.0.0.1:{gateway.port}{SECRETS}"
    assert httpx.post(url, content=b" " * 70_000, timeout=20).status_code == 413
    assert httpx.post(url, timeout=20).json()["session"]["type"] == "transcription"


async def test_with_a_delay_words_are_told_before_the_final(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The final does not come before the client has read the delta."""
    has_read = threading.Event()
    original = conftest.transcribe

    def transcribe(ended: Any, config: Any) -> Any:
        interim, final = original(ended, config)
        for revision in range(1, 400):
            yield replace(interim, revision=revision, text=f"hello {revision}")
            if has_read.wait(0.05):
                break
        yield replace(final, revision=400)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    async with dial(make_gateway()) as client:
        await client.configure(transcription={"delay": "minimal"})
        await client.append(SECOND)
        assert (await client.until(f"{TRANSCRIPTION}.delta"))["delta"] == "hello"
        has_read.set()
        await client.until(f"{TRANSCRIPTION}.completed")
    assert "".join(event["delta"] for event in client.of(f"{TRANSCRIPTION}.delta")) == client.transcripts[0] == "hello u1"
