"""WebSocket /ws/v1/speak over a real socket against a scripted synth: order, flush, clear, close, several speakers, limits."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import av
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway.server import GatewayServer
from services.gateway.speech import over_socket
from tests.unit.gateway.conftest import ScriptedSynth

PIECE = b"\x01\x02" * 1000
SENTENCE = 3 * PIECE


def dial(gateway: GatewayServer, query: str = "") -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/speak{query}", compression=None)


async def send(socket: ClientConnection, kind: str, **content: Any) -> None:
    await socket.send(json.dumps({"type": kind, **content}))


async def everything(socket: ClientConnection) -> list[Any]:
    """All messages until the server closes: objects, and bytes; pieces of audio that follow each other are joined."""
    messages: list[Any] = []
    try:
        async with asyncio.timeout(20):
            async for message in socket:
                if isinstance(message, str):
                    messages.append(json.loads(message))
                elif messages and isinstance(messages[-1], bytes):
                    messages[-1] += message
                else:
                    messages.append(message)
    except ConnectionClosed:
        pass
    return messages


async def received(socket: ClientConnection) -> Any:
    message = await asyncio.wait_for(socket.recv(), 20)
    return json.loads(message) if isinstance(message, str) else message


def requests(word: str) -> list[Any]:
    return [request for request in ScriptedSynth.requests if word in request.text]


@pytest.fixture
def held() -> Iterator[None]:
    """Texts with HOLD in them wait until the test sets ``ScriptedSynth.release``."""
    ScriptedSynth.release.clear()
    yield
    ScriptedSynth.release.set()


@pytest.mark.conformance("native", "call WebSocket /ws/v1/speak", "done")
@pytest.mark.conformance("native", "message text", "done")
@pytest.mark.conformance("native", "message close", "done")
async def test_a_whole_connection(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        for piece in ("Good mor", "ning. How", " are you? I am", " fine"):
            await send(socket, "text", text=piece)
        await send(socket, "close")
        messages = await everything(socket)
        assert socket.close_code == 1000
    session, audio, closed = messages
    assert session["type"] == "session"
    assert len(session["session_id"]) == 32
    assert audio == 3 * SENTENCE
    assert closed == {"type": "closed", "audio_seconds": round(9000 / 22_050, 3), "characters": 36}
    assert {request.text for request in ScriptedSynth.requests[-3:]} == {"Good morning.", "How are you?", "I am fine"}


async def test_the_first_audio_comes_before_the_rest_of_the_text_is_spoken_or_even_there(gateway: GatewayServer, held: None) -> None:
    async with dial(gateway) as socket:
        await send(socket, "text", text="One earlyword. Two ")
        await received(socket)
        assert b"".join([await received(socket) for _ in range(3)]) == SENTENCE
        await send(socket, "text", text="HOLD earlyword. Three earlyword. Four")
        while len(requests("earlyword")) < 2:
            await asyncio.sleep(0.01)
        ScriptedSynth.release.set()
        await send(socket, "close")
        assert (await everything(socket))[0] == 3 * SENTENCE
    assert {request.text.split()[0] for request in requests("earlyword")} == {"One", "Two", "Three"}


async def test_one_sentence_is_asked_for_ahead_and_no_more(make_gateway: Callable[..., GatewayServer], held: None) -> None:
    gateway = make_gateway()
    async with dial(gateway) as socket:
        await received(socket)
        await send(socket, "text", text=" ".join(f"HOLD aheadword {number}." for number in range(6)) + " ")
        await send(socket, "clear")  # answered when all before it was read
        while (await received(socket))["type"] != "cleared":
            pass
        ScriptedSynth.release.set()
        await send(socket, "text", text="Aheadend. ")
        await received(socket)  # behind everything that was asked for: synth answers in order
    assert len(requests("aheadword")) == 2


@pytest.mark.conformance("native", "message flush", "done")
@pytest.mark.conformance("native", "event flushed", "done")
async def test_flush_speaks_what_is_there(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await send(socket, "text", text="no full stop")
        await send(socket, "flush")
        await send(socket, "flush")
        await send(socket, "text", text="and more")
        await send(socket, "close")
        messages = await everything(socket)
    assert messages[1:-1] == [SENTENCE, {"type": "flushed", "ordinal": 0}, {"type": "flushed", "ordinal": 1}, SENTENCE]


@pytest.mark.conformance("native", "message clear", "done")
@pytest.mark.conformance("native", "event cleared", "done")
async def test_clear_drops_what_was_not_sent_and_the_connection_goes_on(gateway: GatewayServer, held: None) -> None:
    async with dial(gateway) as socket:
        await send(socket, "text", text="First clearword. ")
        await received(socket)
        for _ in range(3):
            assert await received(socket) == PIECE
        await send(socket, "text", text="Second HOLD clearword. Third clearword. rest")
        await send(socket, "clear")
        assert await received(socket) == {"type": "cleared", "ordinal": 0}
        ScriptedSynth.release.set()
        await send(socket, "text", text="Newword.")
        await send(socket, "close")
        messages = await everything(socket)
    assert messages[0] == SENTENCE
    assert messages[1]["audio_seconds"] == round(6000 / 22_050, 3)
    assert not requests("rest")


@pytest.mark.conformance("native", "message configure", "done")
@pytest.mark.conformance("native", "parameter voice", "done")
@pytest.mark.conformance("native", "parameter language", "done")
@pytest.mark.conformance("native", "parameter speed", "done")
@pytest.mark.conformance("native", "parameter sample_rate", "done")
async def test_configuration_by_query_and_by_message(gateway: GatewayServer) -> None:
    async with dial(gateway, "?voice=en-gb&speed=1.5&sample_rate=16000&language=en-gb") as socket:
        await send(socket, "text", text="Queryword")
        await send(socket, "configure", config={"voice": "en-us+f2", "speed": 0.5, "language": "en-us"})
        await send(socket, "text", text="Messageword")
        await send(socket, "close")
        closed = (await everything(socket))[-1]
    assert closed["audio_seconds"] == 0.375
    first, second = requests("Queryword")[0], requests("Messageword")[0]
    assert (first.voice, first.speed, first.sample_rate_hz, first.language) == ("en-gb", 1.5, 16_000, "en-gb")
    assert (second.voice, second.speed, second.sample_rate_hz, second.language) == ("en-us+f2", 0.5, 16_000, "en-us")


async def test_several_speakers_keep_their_voices(gateway: GatewayServer) -> None:
    async with dial(gateway, "?voice=en-us,en-gb") as socket:
        await send(socket, "text", text="Speaker 5: Castword one. Castword two.\nSpeak")
        await send(socket, "text", text="er 2: Castword three.\nSpeaker 5: Castword four.")
        await send(socket, "close")
        await everything(socket)
    assert {request.text for request in requests("Castword")} == {
        "Castword one.",
        "Castword two.",
        "Speaker 0:\nSpeaker 1: Castword three.",
        "Castword four.",
    }


@pytest.mark.conformance("native", "parameter word_times", "done")
@pytest.mark.conformance("native", "event words", "done")
async def test_word_times_count_over_all_that_was_sent(gateway: GatewayServer) -> None:
    async with dial(gateway, "?word_times=true&sample_rate=8000") as socket:
        await send(socket, "text", text="One two. Three.")
        await send(socket, "close")
        messages = await everything(socket)
    words = [message for message in messages if isinstance(message, dict) and message["type"] == "words"]
    assert words == [
        {"type": "words", "words": [{"word": "One", "start": 0.0}, {"word": "two.", "start": 0.01}]},
        {"type": "words", "words": [{"word": "Three.", "start": 0.375}]},
    ]


@pytest.mark.conformance("native", "parameter format", "done")
@pytest.mark.parametrize(("name", "rate_hz"), [("wav", 24_000), ("flac", 24_000), ("mp3", 24_000), ("aac", 24_000), ("opus", 48_000)])
async def test_what_lies_between_two_flushes_is_a_whole_file(gateway: GatewayServer, name: str, rate_hz: int) -> None:
    async with dial(gateway, f"?format={name}&sample_rate=24000") as socket:
        for _ in range(2):
            await send(socket, "text", text="One. Two. Three. Four.")
            await send(socket, "flush")
        await send(socket, "close")
        files = [message for message in await everything(socket) if isinstance(message, bytes)]
    assert len(files) == 2
    for file in files:
        with av.open(io.BytesIO(file)) as container:
            frames = list(container.decode(audio=0))
        assert frames[0].sample_rate == rate_hz
        assert 12_000 / 24_000 <= sum(frame.samples for frame in frames) / rate_hz < 0.65


@pytest.mark.parametrize(("name", "sample_bytes"), [("pcm", 2), ("mulaw", 1), ("alaw", 1)])
async def test_samples_without_a_container(gateway: GatewayServer, name: str, sample_bytes: int) -> None:
    async with dial(gateway, f"?format={name}&sample_rate=8000") as socket:
        await send(socket, "text", text="One. Two.")
        await send(socket, "close")
        audio = (await everything(socket))[1]
    assert len(audio) == 6000 * sample_bytes


@pytest.mark.parametrize(
    ("query", "messages", "code", "status"),
    [
        ("?colour=red", [], "INVALID_PARAMETER", 1008),
        ("?speed=9", [], "INVALID_PARAMETER", 1008),
        ("?format=gramophone", [], "UNSUPPORTED_ENCODING", 1003),
        ("?sample_rate=4000", [], "UNSUPPORTED_SAMPLE_RATE", 1003),
        ("?format=mp3&sample_rate=20000", [], "UNSUPPORTED_SAMPLE_RATE", 1003),
        ("?word_times=perhaps", [], "INVALID_PARAMETER", 1008),
        ("?voice=nobody", [{"type": "text", "text": "Hello."}, {"type": "flush"}], "UNKNOWN_VOICE", 1008),
        ("", ["no json"], "INVALID_MESSAGE", 1007),
        ("", ["[]"], "INVALID_MESSAGE", 1007),
        ("", [b"audio"], "INVALID_MESSAGE", 1007),
        ("", [{"type": "sing"}], "INVALID_MESSAGE", 1007),
        ("", [{"type": "text", "text": 5}], "INVALID_MESSAGE", 1007),
        ("", [{"type": "configure"}], "INVALID_MESSAGE", 1007),
        ("", [{"type": "configure", "config": {"speed": "fast"}}], "INVALID_PARAMETER", 1008),
        ("", [{"type": "text", "text": "Hi"}, {"type": "configure", "config": {"format": "wav"}}], "INVALID_PARAMETER", 1008),
        ("", [{"type": "text", "text": "x" * 20_001}], "TEXT_TOO_LONG", 1009),
    ],
)
@pytest.mark.conformance("native", "event error", "done")
async def test_what_is_refused(gateway: GatewayServer, query: str, messages: list[Any], code: str, status: int) -> None:
    async with dial(gateway, query) as socket:
        for message in messages:
            await socket.send(json.dumps(message) if isinstance(message, dict) else message)
        answers = await everything(socket)
        assert socket.close_code == status
    assert answers[-1]["error"]["code"] == code
    assert len(answers[-1]["error"]["message"]) > 15


async def test_marks_without_end_are_refused(gateway: GatewayServer, held: None) -> None:
    async with dial(gateway) as socket:
        await send(socket, "text", text="HOLD.")
        for _ in range(1001):
            await send(socket, "flush")
        assert (await everything(socket))[-1]["error"]["code"] == "CLIENT_TOO_SLOW"


@pytest.mark.conformance("native", "message keep_alive", "done")
async def test_an_idle_connection_is_closed_one_that_keeps_alive_or_waits_for_speech_is_not(
    make_gateway: Callable[..., GatewayServer], held: None
) -> None:
    gateway = make_gateway(idle_s=0.4)
    async with dial(gateway) as socket:
        await received(socket)
        for _ in range(4):
            await asyncio.sleep(0.2)
            await send(socket, "keep_alive")
        await send(socket, "text", text="HOLD. ")
        await asyncio.sleep(1.0)
        ScriptedSynth.release.set()
        messages = await everything(socket)
        assert socket.close_code == 1008
    assert messages[0] == SENTENCE
    assert messages[-1]["error"]["code"] == "SESSION_IDLE"


async def test_a_lifetime(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(session_lifetime_s=0.3)
    async with dial(gateway) as socket:
        assert (await everything(socket))[-1]["error"]["code"] == "SESSION_LIFETIME"
        assert socket.close_code == 1000


async def test_places_are_given_back_whatever_happens(make_gateway: Callable[..., GatewayServer], held: None) -> None:
    gateway = make_gateway()
    for _ in range(6):
        async with dial(gateway) as socket:
            await send(socket, "text", text="HOLD one. HOLD two. HOLD three.")
            await received(socket)
    hub = gateway._hub
    async with asyncio.timeout(10):
        while hub.open_sessions or hub._sessions:
            await asyncio.sleep(0.02)


async def test_a_full_gateway_says_so(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_sessions=1)
    async with dial(gateway) as first:
        await received(first)
        async with dial(gateway) as second:
            assert (await everything(second))[-1]["error"]["code"] == "TOO_MANY_SESSIONS"
            assert second.close_code == 1013
        await send(first, "text", text="A connection that is in may speak.")
        await send(first, "close")
        assert (await everything(first))[0] == SENTENCE


async def test_a_gateway_that_ends_lets_a_connection_finish(make_gateway: Callable[..., GatewayServer], held: None) -> None:
    gateway = make_gateway()
    async with dial(gateway) as socket:
        await received(socket)
        await send(socket, "text", text="HOLD one. HOLD two. HOLD three. HOLD four.")
        gateway._hub.is_draining = True
        assert gateway._hub.open_sessions == 1  # what the gateway waits for
        ScriptedSynth.release.set()
        await send(socket, "close")
        messages = await everything(socket)
    assert messages[0] == 4 * SENTENCE
    assert messages[1]["type"] == "closed"
    async with dial(gateway) as socket:
        assert (await everything(socket))[-1]["error"]["code"] == "SHUTTING_DOWN"


async def test_a_client_that_vanishes_in_any_moment_leaves_no_mistake_in_the_log(
    make_gateway: Callable[..., GatewayServer], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = make_gateway()
    for last in ("flush", "clear", "close"):
        for pause_s in (0.0, 0.005, 0.02):
            socket = await dial(gateway, "?format=mp3")
            await send(socket, "text", text="One. Two. Three. " * 20)
            await send(socket, last)
            await asyncio.sleep(pause_s)
            socket.transport.abort()
    async with asyncio.timeout(10):
        while gateway._hub._sessions:
            await asyncio.sleep(0.02)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_a_client_that_reads_nothing_fills_nobodys_memory_and_is_given_up(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_socket, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr(over_socket, "LAST_WORDS_S", 0.3)
    gateway = make_gateway()
    socket = await connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/speak", compression=None, max_queue=1)
    await send(socket, "text", text="Slowword. " * 1999)
    async with asyncio.timeout(60):
        while not requests("Slowword") or gateway._hub._sessions:
            await asyncio.sleep(0.05)
    socket.transport.abort()
    assert len(requests("Slowword")) < 1990


async def test_no_synth_is_said(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("synth",), stage_timeout_s=0.3)
    async with dial(gateway) as socket:
        await send(socket, "text", text="Hello.")
        await send(socket, "flush")
        assert (await everything(socket))[-1]["error"]["code"] == "STAGE_TIMEOUT"


@pytest.mark.conformance("native", "call GET /api/v2/voices", "done")
def test_voices(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(voices=("en-us", "cy"))
    listed = httpx.get(f"http://127.0.0.1:{gateway.port}/api/v2/voices").json()["voices"]
    by_name = {voice["name"]: voice for voice in listed}
    assert by_name["en-us+f2"]["openai"] == ["alloy", "coral"]
    assert "aura-asteria-en" in by_name["en-us+f2"]["deepgram"]
    assert "aura-2-viktoria-de" in by_name["de+f2"]["deepgram"]
    assert listed[-1] == {"name": "cy", "language": "", "gender": "", "openai": [], "deepgram": []}
    assert len(listed) == len(by_name)
