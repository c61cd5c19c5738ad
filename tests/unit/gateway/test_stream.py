"""Live diarization over a real WebSocket, as protocols/native.md has it: one answer a chunk, speakers as they become known."""

from __future__ import annotations

import asyncio
import json
import socket as socket_module
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from services.gateway.server import GatewayServer
from services.gateway.sessions.outbox import Outbox
from services.gateway.sessions.updates import Speakers, SpeechStarted
from services.gateway.sockets import writer
from tests.unit.gateway import conftest
from tests.unit.gateway.test_native import everything, of
from voxrelay.events import SpeakerSegment, UtteranceEnded
from voxrelay.storage.access import AccessStore

CHUNK = np.zeros(1600, dtype="<f4")
CLOSE = json.dumps({"type": "close_stream"})
KNOWN_BETTER = "S9"


def dial(gateway: GatewayServer, query: str = "", **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{gateway.port}/ws/stream{query}", compression=None, **options)


async def answered(socket: ClientConnection, message: str | bytes) -> dict[str, Any]:
    await socket.send(message)
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 10))
    return answer


def chunk(sequence: int | None, samples: Sequence[float] = CHUNK.tolist()) -> str:
    return json.dumps({"type": "audio_chunk", "data": list(samples)} | ({} if sequence is None else {"sequence": sequence}))


def drawn(messages: list[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """The timeline as a client has it that follows the documentation."""
    timeline: dict[str, list[tuple[float, float, str]]] = {}
    for message in of(messages, "result"):
        for utterance_id in message["utterances"]:
            timeline[utterance_id] = []
        for segment in message["segments"]:
            timeline[segment["utterance_id"]].append((segment["start"], segment["end"], segment["speaker"]))
    return sorted(segment for segments in timeline.values() for segment in segments)


@pytest.fixture
def revising(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diarization that speaks while an utterance lasts, at its end, and of the utterance before once more."""

    def diarize(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
        (final,) = plain(ended, config)
        interim = replace(final, revision=1, is_final=False, segments=(replace(final.segments[0], speaker="S5"),))
        results = [interim, replace(final, revision=2)]
        number = int(ended.utterance_id[1:])
        if number > 1:
            (before,) = plain(UtteranceEnded(f"u{number - 1}", ended.start_sample - 16_000, ended.start_sample), config)
            results.append(replace(before, revision=3, segments=(replace(before.segments[0], speaker=KNOWN_BETTER),)))
        return results

    plain = conftest.diarize
    monkeypatch.setattr(conftest, "diarize", diarize)


@pytest.mark.conformance("native", "call WebSocket /ws/stream", "done")
@pytest.mark.conformance("native", "message audio_chunk", "done")
@pytest.mark.conformance("native", "event result", "done")
async def test_every_chunk_has_one_answer_with_its_number(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        messages = [await answered(socket, chunk(number)) for number in range(25)]  # ask, answer, ask: nothing comes in between
        await socket.send(CLOSE)
        rest = await everything(socket)
        assert socket.close_code == 1000
    assert [message["sequence"] for message in messages] == list(range(25))
    assert {message["type"] for message in messages} == {"result"}
    assert all(message["latency_ms"] >= 0 for message in messages)
    assert rest[-1]["type"] == "closed"
    assert rest[-1]["audio_seconds"] == 2.5
    assert [message["sequence"] for message in rest[:-1]] in ([], [24])
    assert drawn([*messages, *rest]) == [(0.0, 1.0, "S1"), (1.0, 2.0, "S2"), (2.0, 2.5, "S1")]
    segments = [segment for message in [*messages, *rest] for segment in message.get("segments", ())]
    assert segments[0] == {"speaker": "S1", "start": 0.0, "end": 1.0, "confidence": 0.8, "utterance_id": "u1", "is_final": True}


async def test_what_is_known_is_told_with_the_next_chunk(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        for number in range(10):
            assert "error" not in await answered(socket, chunk(number))
        for number in range(10, 200):  # of silence, until the answer to the first second is there
            if (await answered(socket, chunk(number, ())))["segments"]:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the speaker of the first second was never told")


@pytest.mark.conformance("native", "binary chunk on /ws/stream", "done")
async def test_binary_chunks_are_counted_and_may_be_mixed_with_json(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        sent = (CHUNK.tobytes(), chunk(1), CHUNK.tobytes(), chunk(None), json.dumps({"type": "keep_alive"}), chunk(4))
        for message in (*sent, CLOSE):
            await socket.send(message)
        messages = await everything(socket)
    assert sorted({message["sequence"] for message in of(messages, "result")}) == [0, 1, 2, 3, 4]
    assert of(messages, "closed")[0]["audio_seconds"] == 0.5


async def test_a_reconnected_client_goes_on_counting(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        assert (await answered(socket, chunk(700)))["sequence"] == 700
        assert (await answered(socket, chunk(701)))["sequence"] == 701


@pytest.mark.usefixtures("revising")
async def test_speakers_known_better_are_told_again_and_replace_what_was_drawn(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway()
    messages: list[dict[str, Any]] = []
    async with dial(gateway) as socket:
        for number in range(30):
            messages.append(await answered(socket, chunk(number)))
        await socket.send(CLOSE)
        messages += await everything(socket)
    assert drawn(messages) == [(0.0, 1.0, KNOWN_BETTER), (1.0, 2.0, KNOWN_BETTER), (2.0, 3.0, "S1")]


async def test_an_answer_tells_each_utterance_once_as_it_is_known_by_then() -> None:
    outbox = Outbox(8)
    for revision in range(100):
        outbox.put(Speakers("u1", (SpeakerSegment(f"S{revision}", 0.0, 1.0, 0.5),), is_final=revision > 50))
    outbox.put(SpeechStarted("u2", 1.0))
    outbox.end()
    told = [await outbox.get() for _ in range(3)]
    assert [type(update) for update in told] == [Speakers, SpeechStarted, type(None)]
    assert isinstance(told[0], Speakers)
    assert told[0].segments[0].speaker == "S99"


async def test_a_sample_rate_of_ones_own(gateway: GatewayServer) -> None:
    async with dial(gateway, "?sample_rate=48000&num_speakers=2") as socket:
        assert (await answered(socket, np.zeros(48_000, dtype="<f4").tobytes()))["sequence"] == 0
        await socket.send(CLOSE)
        assert of(await everything(socket), "closed")[0]["audio_seconds"] == 1.0


@pytest.mark.parametrize(
    ("query", "message", "code", "says"),
    [
        ("?language=en", None, "INVALID_PARAMETER", "num_speakers"),
        ("?sample_rate=4000", None, "UNSUPPORTED_SAMPLE_RATE", "8000"),
        ("?num_speakers=many", None, "INVALID_PARAMETER", "num_speakers"),
        ("", "hello?", "INVALID_MESSAGE", "JSON"),
        ("", "[" * 100_000, "INVALID_MESSAGE", "JSON"),
        ("", "9" * 5000, "INVALID_MESSAGE", "JSON"),
        ("", "[1, 2]", "INVALID_MESSAGE", "type"),
        ("", json.dumps({"type": "sing"}), "INVALID_MESSAGE", "audio_chunk"),
        ("", json.dumps({"type": "audio_chunk"}), "INVALID_MESSAGE", "array"),
        ("", json.dumps({"type": "audio_chunk", "data": "AAAA"}), "INVALID_MESSAGE", "array"),
        ("", json.dumps({"type": "audio_chunk", "data": [0.0, "0"]}), "INVALID_MESSAGE", "numbers"),
        ("", json.dumps({"type": "audio_chunk", "data": [True]}), "INVALID_MESSAGE", "numbers"),
        ("", json.dumps({"type": "audio_chunk", "data": [[0.0]]}), "INVALID_MESSAGE", "numbers"),
        ("", json.dumps({"type": "audio_chunk", "data": [None]}), "INVALID_MESSAGE", "numbers"),
        ("", json.dumps({"type": "audio_chunk", "data": [float("nan")]}), "INVALID_AUDIO_FORMAT", "-1 and 1"),
        ("", json.dumps({"type": "audio_chunk", "data": [float("-inf")]}), "INVALID_AUDIO_FORMAT", "-1 and 1"),
        ("", json.dumps({"type": "audio_chunk", "data": [10**300]}), "INVALID_AUDIO_FORMAT", "-1 and 1"),
        ("", json.dumps({"type": "audio_chunk", "data": [1e300]}), "INVALID_AUDIO_FORMAT", "-1 and 1"),
        ("", json.dumps({"type": "audio_chunk", "data": [12345, -3]}), "INVALID_AUDIO_FORMAT", "32768"),
        ("", json.dumps({"type": "audio_chunk", "data": [0] * 160_001}), "MESSAGE_TOO_LARGE", "160000"),
        ("", chunk(-1), "INVALID_MESSAGE", "sequence"),
        ("", json.dumps({"type": "audio_chunk", "data": [], "sequence": "0"}), "INVALID_MESSAGE", "sequence"),
        ("", json.dumps({"type": "audio_chunk", "data": [], "sequence": 0.5}), "INVALID_MESSAGE", "sequence"),
        ("", json.dumps({"type": "audio_chunk", "data": [], "sequence": True}), "INVALID_MESSAGE", "sequence"),
        ("", json.dumps({"type": "audio_chunk", "data": [], "sequence": 2**60}), "INVALID_MESSAGE", "sequence"),
        ("", b"\x00\x00\x00", "INVALID_AUDIO_FORMAT", "four bytes"),
        ("", np.full(100, np.nan, dtype="<f4").tobytes(), "INVALID_AUDIO_FORMAT", "numbers"),
        ("", np.full(100, 3000.0, dtype="<f4").tobytes(), "INVALID_AUDIO_FORMAT", "32768"),
        ("", bytes(4 * 160_004), "MESSAGE_TOO_LARGE", "160000"),
    ],
)
async def test_wrong_input_gets_a_code_and_what_to_do(query: str, message: Any, code: str, says: str, gateway: GatewayServer) -> None:
    async with dial(gateway, query) as socket:
        if message is not None:
            await socket.send(message)
        messages = await everything(socket)
        assert socket.close_code in (1003, 1007, 1008, 1009)
    error = of(messages, "error")[0]["error"]
    assert error["code"] == code
    assert says in error["message"]


@pytest.mark.parametrize("second", [5, 7, 3])
async def test_a_chunk_lost_repeated_or_overtaken_is_said(second: int, gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await answered(socket, chunk(5))
        await socket.send(chunk(second))
        messages = await everything(socket)
    error = of(messages, "error")[0]["error"]
    assert error["code"] == "INVALID_MESSAGE"
    assert "must be 6 after 5" in error["message"]


async def test_what_was_heard_before_a_mistake_is_told_before_the_error(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        messages = [await answered(socket, np.zeros(16_000, dtype="<f4").tobytes())]
        await socket.send("{")
        messages += await everything(socket)
    assert drawn(messages) == [(0.0, 1.0, "S1")]
    assert messages[-1]["type"] == "error"


async def test_a_stage_that_never_answers_is_named(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize",), stage_timeout_s=0.5)
    async with dial(gateway) as socket:
        await answered(socket, chunk(0))
        await socket.send(CLOSE)
        error = of(await everything(socket), "error")[0]["error"]
    assert error["code"] == "STAGE_TIMEOUT"
    assert "diarize" in error["message"]


async def test_nobody_waits_for_words(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("transcribe", "classify", "classify.text"))
    async with dial(gateway) as socket:
        messages = [await answered(socket, np.zeros(16_000, dtype="<f4").tobytes())]
        await socket.send(CLOSE)
        messages += await everything(socket)
    assert drawn(messages) == [(0.0, 1.0, "S1")]
    assert messages[-1]["type"] == "closed"


async def test_keys_idle_and_no_audio_at_all(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    _, right = access.create_key("somebody", "enterprise")
    gateway = make_gateway(database_url=access.url, idle_s=0.3)
    async with dial(gateway) as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == "UNAUTHORIZED"
    async with dial(gateway, f"?api_key={right}") as socket:
        assert of(await everything(socket), "error")[0]["error"]["code"] == "SESSION_IDLE"
    async with dial(gateway, f"?api_key={right}") as socket:
        await socket.send(CLOSE)
        assert [message["type"] for message in await everything(socket)] == ["closed"]


async def test_a_client_that_vanishes_leaves_nothing_behind(gateway: GatewayServer) -> None:
    async with dial(gateway) as socket:
        await answered(socket, chunk(0))
        socket.transport.abort()
    await _nobody_left(gateway)


async def test_a_client_that_does_not_read_its_answers_is_not_read_and_given_up(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diarize(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
        (final,) = plain(ended, config)
        return (replace(final, segments=final.segments * 1000),)  # every answer is 100 kB of them

    plain = conftest.diarize
    monkeypatch.setattr(conftest, "diarize", diarize)
    monkeypatch.setattr(writer, "SEND_TIMEOUT_S", 0.5)
    gateway = make_gateway()
    deaf = socket_module.socket()
    deaf.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", gateway.port))
    async with dial(gateway, sock=deaf, max_queue=1, close_timeout=0.1, ping_interval=None) as socket:
        while not gateway._hub.open_sessions:
            await asyncio.sleep(0.01)

        async def talk() -> None:
            while True:
                await socket.send(np.zeros(16_000, dtype="<f4").tobytes())

        talking = asyncio.create_task(talk())  # until nothing goes out any more
        await _nobody_left(gateway)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        socket.transport.abort()


async def _nobody_left(gateway: GatewayServer) -> None:
    for _ in range(200):
        if gateway._hub.open_sessions == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the session is still open")
