"""WebSocket /v2/listen over a real socket: Flux's messages, good input and bad."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.protocols.deepgram.flux_parameters import FLUX
from services.gateway.server import GatewayServer
from tests.unit.gateway.test_native import RATE_HZ, SECOND, _wav

RAW = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": RATE_HZ}


def dial(gateway: GatewayServer, **query: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/v2/listen?{urlencode(query, doseq=True)}", compression=None)


async def until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if kind in (message["type"], message.get("event")):
                return message


async def everything(socket: ClientConnection) -> list[dict[str, Any]]:
    messages = []
    try:
        async with asyncio.timeout(20):
            async for text in socket:
                messages.append(json.loads(text))
    except ConnectionClosed:
        pass
    return messages


async def close_stream(socket: ClientConnection) -> None:
    await socket.send(json.dumps({"type": "CloseStream"}))


async def said(gateway: GatewayServer, audio: bytes = SECOND, **query: Any) -> list[dict[str, Any]]:
    """All messages to this much audio."""
    async with dial(gateway, **(query or RAW)) as socket:
        await socket.send(audio)
        await close_stream(socket)
        messages = await everything(socket)
        assert socket.close_code == 1000
    return messages


@pytest.mark.conformance("deepgram", "Flux message CloseStream", "done")
@pytest.mark.conformance("deepgram", "Flux event Connected", "done")
@pytest.mark.conformance("deepgram", "Flux event TurnInfo StartOfTurn", "done")
@pytest.mark.conformance("deepgram", "Flux event TurnInfo EndOfTurn", "done", "after a silence; no engine judges the words")
async def test_a_whole_stream(gateway: GatewayServer) -> None:
    messages = await said(gateway, SECOND * 2)
    assert [message["sequence_id"] for message in messages] == list(range(len(messages)))
    assert len({message["request_id"] for message in messages}) == 1
    assert set(messages[0]) == {"type", "request_id", "sequence_id"}
    turns = messages[1:]
    assert [(one["event"], one["turn_index"]) for one in turns] == [("StartOfTurn", 0), ("EndOfTurn", 0), ("StartOfTurn", 1), ("EndOfTurn", 1)]
    ended = turns[1] | {"request_id": "", "sequence_id": 0}
    assert ended == {
        "type": "TurnInfo",
        "request_id": "",
        "sequence_id": 0,
        "event": "EndOfTurn",
        "turn_index": 0,
        "audio_window_start": 0.0,
        "audio_window_end": 1.0,
        "transcript": "Hello u1.",
        "words": [
            {"word": "Hello", "confidence": 0.9, "start": 0.0, "end": 1.0},
            {"word": "u1.", "confidence": 0.9, "start": 0.0, "end": 1.0},
        ],
        "end_of_turn_confidence": 0.7,
        "trigger": "model",
    }
    assert turns[0]["transcript"] == "Hello"
    assert turns[0]["end_of_turn_confidence"] == 0.0
    assert "trigger" not in turns[0]


@pytest.mark.conformance("deepgram", "Flux event TurnInfo EagerEndOfTurn", "done", "after a shorter silence")
@pytest.mark.conformance("deepgram", "Flux event TurnInfo TurnResumed", "done")
@pytest.mark.conformance("deepgram", "Flux parameter eager_eot_threshold", "done", "a silence; no engine judges the words")
@pytest.mark.conformance("deepgram", "Flux parameter eot_threshold", "done", "a silence; no engine judges the words")
async def test_eager_ends_and_resumed_turns(gateway: GatewayServer) -> None:
    messages = await said(gateway, SECOND * 2, **RAW, eager_eot_threshold=0.4, eot_threshold=0.95)
    events = [message["event"] for message in messages[1:]]
    assert events == ["StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"]
    assert messages[-1]["transcript"] == "Hello u1 hello u2."
    assert messages[-1]["turn_index"] == 0


@pytest.mark.conformance("deepgram", "Flux parameter eot_timeout_ms", "done")
@pytest.mark.conformance("deepgram", "Flux event TurnInfo Update", "done", "when there is something new, not at set times")
async def test_the_timeout_alone(gateway: GatewayServer) -> None:
    messages = await said(gateway, SECOND, **RAW, eot_threshold=1.0, eot_timeout_ms=500)
    assert (messages[-1]["event"], messages[-1]["trigger"]) == ("EndOfTurn", "timeout")
    waiting = await said(gateway, SECOND, **RAW, eot_threshold=1.0, eot_timeout_ms=60_000)
    assert [message["event"] for message in waiting[1:]] == ["StartOfTurn", "Update", "EndOfTurn"]


@pytest.mark.conformance("deepgram", "Flux message ForceEndTurn", "done")
async def test_a_turn_is_forced_to_end(gateway: GatewayServer) -> None:
    async with dial(gateway, **RAW) as socket:
        await socket.send(json.dumps({"type": "ForceEndTurn"}))  # before any audio there is none
        await socket.send(SECOND[: len(SECOND) // 2])
        await socket.send(json.dumps({"type": "ForceEndTurn"}))
        ended = await until(socket, "EndOfTurn")
        assert (ended["trigger"], ended["end_of_turn_confidence"], ended["audio_window_end"]) == ("manual", 1.0, 0.5)
        await close_stream(socket)
        assert await everything(socket) == []


@pytest.mark.conformance("deepgram", "Flux parameter keyterm", "done")
@pytest.mark.conformance("deepgram", "Flux parameter numerals", "done")
@pytest.mark.conformance("deepgram", "Flux parameter profanity_filter", "done")
@pytest.mark.conformance("deepgram", "Flux parameter redact", "done")
async def test_wording(gateway: GatewayServer) -> None:
    for query, expected in (
        ({"keyterm": ["kenobi", "grievous"]}, "Hello u1 kenobi grievous."),
        ({"keyterm": "twenty three", "numerals": "true"}, "Hello u1 23."),
        ({"keyterm": "bullshit", "profanity_filter": "true"}, "Hello u1 b*******."),
        ({"keyterm": "my four zero four", "redact": "numbers"}, "Hello u1 my [REDACTED]."),
    ):
        messages = await said(gateway, SECOND, **RAW, **query)
        assert messages[-1]["transcript"] == expected


@pytest.mark.conformance("deepgram", "Flux parameter model", "done", "any name selects the engine in use")
@pytest.mark.conformance("deepgram", "Flux parameter encoding", "done")
@pytest.mark.conformance("deepgram", "Flux parameter sample_rate", "done")
@pytest.mark.conformance("deepgram", "Flux parameter tag", "accepted without effect")
@pytest.mark.conformance("deepgram", "Flux parameter mip_opt_out", "done")
@pytest.mark.conformance("deepgram", "Flux parameter language_hint", "accepted without effect", "told back as languages_hinted")
async def test_a_container_and_labels(gateway: GatewayServer) -> None:
    query = {"model": "flux-general-multi", "tag": "x", "mip_opt_out": "true", "language_hint": ["en", "de"]}
    messages = await said(gateway, _wav(), **query)
    assert messages[-1]["transcript"] == "Hello u2."
    assert messages[-1]["languages_hinted"] == ["en", "de"]
    assert (await said(gateway, bytes(8000), model="x", encoding="mulaw", sample_rate=8000))[-1]["audio_window_end"] == 1.0


@pytest.mark.conformance("deepgram", "Flux message Configure", "done")
@pytest.mark.conformance("deepgram", "Flux event ConfigureSuccess", "done")
async def test_configure(gateway: GatewayServer) -> None:
    async with dial(gateway, **RAW, keyterm="old") as socket:
        await socket.send(json.dumps({"type": "Configure", "keyterms": ["five"], "thresholds": {"eager_eot_threshold": 0.5}, "numerals": True}))
        told = await until(socket, "ConfigureSuccess")
        assert told["thresholds"] == {"eot_threshold": 0.7, "eot_timeout_ms": 5000, "eager_eot_threshold": 0.5}
        assert (told["keyterms"], told["numerals"], told["language_hints"]) == (["five"], True, [])
        await socket.send(SECOND)
        assert (await until(socket, "EagerEndOfTurn"))["transcript"] == "Hello u1 5."
        await socket.send(json.dumps({"type": "Configure", "keyterms": "six", "thresholds": {"eot_threshold": 0.8}, "language_hints": ["en"]}))
        told = await until(socket, "ConfigureSuccess")
        assert told["thresholds"]["eager_eot_threshold"] == 0.5
        assert told["language_hints"] == ["en"]
        await socket.send(SECOND)
        await close_stream(socket)
        messages = await everything(socket)
    assert messages[-1]["transcript"] == "Hello u1 5 hello u2 6."


@pytest.mark.conformance("deepgram", "Flux event ConfigureFailure", "done")
@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"eot_threshold": 0.2}},
        {"thresholds": {"eager_eot_threshold": 0.9}},
        {"thresholds": {"eot_timeout_ms": 100}},
        {"thresholds": {"speed": 1}},
        {"thresholds": "high"},
        {"keyterms": [7]},
        {"keyterms": ["x" * 101]},
        {"numerals": "yes"},
        {"colour": "red"},
    ],
)
async def test_a_bad_configuration_changes_nothing(gateway: GatewayServer, change: dict[str, Any]) -> None:
    async with dial(gateway, **RAW) as socket:
        await socket.send(json.dumps({"type": "Configure"} | change))
        failed = await until(socket, "ConfigureFailure")
        assert failed["code"] == "INVALID_PARAMETER"
        assert len(failed["description"]) > 15
        await socket.send(SECOND)
        await close_stream(socket)
        assert (await everything(socket))[-1]["transcript"] == "Hello u1."


@pytest.mark.conformance("deepgram", "Flux event Error", "done")
@pytest.mark.parametrize("text", ["nonsense", "[]", '{"type": "KeepAlive"}', '{"type": 7}', '{"kind": "CloseStream"}', "[" * 100_000])
async def test_a_message_that_cannot_be_read_ends_the_stream_with_an_error(gateway: GatewayServer, text: str) -> None:
    async with dial(gateway, **RAW) as socket:
        await socket.send(SECOND)
        await socket.send(text)
        messages = await everything(socket)
        assert socket.close_code == 1007
    assert messages[-1]["type"] == "Error"
    assert messages[-1]["code"] == "UNPARSABLE_CLIENT_MESSAGE"
    assert messages[-2]["transcript"] == "Hello u1."  # what was said before is still told


async def test_bytes_that_are_no_audio(gateway: GatewayServer) -> None:
    async with dial(gateway, model="flux-general-en") as socket:
        await socket.send(b"Dear Sir, this is a letter and not a call.")
        assert (await everything(socket))[-1]["code"] == "INVALID_AUDIO_FORMAT"


@pytest.mark.parametrize(
    "query",
    [
        {"eot_threshold": 0.4},
        {"eot_threshold": "nan"},
        {"eager_eot_threshold": 0.8},
        {"eot_timeout_ms": 100},
        {"encoding": "flac"},
        {"encoding": "linear16"},
        {"redact": "pci"},
        {"interim_results": "true"},
    ],
)
async def test_bad_parameters_are_refused_before_the_stream(gateway: GatewayServer, query: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(gateway, **query):
            pass
    assert refused.value.response.status_code == 400
    assert set(json.loads(refused.value.response.body or b"")) == {"err_code", "err_msg", "request_id"}


async def test_a_client_that_vanishes_leaves_no_session(gateway: GatewayServer) -> None:
    async with dial(gateway, **RAW) as socket:
        await socket.send(SECOND)
        socket.transport.abort()
    for _ in range(200):
        if not gateway._hub.open_sessions:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the session is still open")


def test_every_parameter_of_the_table_is_claimed_by_a_test() -> None:
    claimed = {mark.args[1] for test in globals().values() for mark in getattr(test, "pytestmark", []) if mark.name == "conformance"}
    assert {f"Flux parameter {row.name}" for row in FLUX} <= claimed
