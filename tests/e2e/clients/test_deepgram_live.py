"""Deepgram's own SDKs, LiveKit's plug-in and Pipecat's service, unmodified, live on real telephone speech against the bundled engines."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.environments import run_flow
from tests.unit.gateway.conftest import gateways

pytestmark = [pytest.mark.slow]

OLDER, NEWER = "deepgram_live_4", "deepgram_live_7"
SDKS = [
    ("deepgram-sdk-3.11.0", OLDER, "sync"),
    ("deepgram-sdk-3.11.0", OLDER, "async"),
    ("deepgram-sdk-4.8.1", OLDER, "sync"),
    ("deepgram-sdk-4.8.1", OLDER, "async"),
    ("deepgram-sdk-5.3.2", NEWER, "sync"),
    ("deepgram-sdk-5.3.2", NEWER, "async"),
    ("deepgram-sdk-6.0.1", NEWER, "sync"),
    ("deepgram-sdk-6.0.1", NEWER, "async"),
    ("deepgram-sdk-7.17.0", NEWER, "sync"),
    ("deepgram-sdk-7.17.0", NEWER, "async"),
]
SILENCE_S = 3


@pytest.fixture(scope="module")
def call(two_speakers: tuple[bytes, int], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten seconds of a telephone call, then silence, as a WAV file."""
    pcm, rate_hz = two_speakers
    start = int(6.5 * rate_hz) * 2
    path: Path = tmp_path_factory.mktemp("call") / "call.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm[start : start + 10 * rate_hz * 2] + bytes(SILENCE_S * rate_hz * 2))
    return str(path)


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    """A gateway that knows one key, which no test sends."""
    with gateways() as make:
        yield f"http://127.0.0.1:{make(api_keys_sha256=(hashlib.sha256(b'another').hexdigest(),)).port}"


def words_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = message["channel"]["alternatives"][0]["words"]
    return words


@pytest.mark.conformance("deepgram", "client deepgram-sdk 3.11.0", "done", "live, sync and async")
@pytest.mark.conformance("deepgram", "client deepgram-sdk 4.8.1", "done", "live, sync and async")
@pytest.mark.conformance("deepgram", "client deepgram-sdk 5.3.2", "done", "live, sync and async")
@pytest.mark.conformance("deepgram", "client deepgram-sdk 6.0.1", "done", "live, sync and async")
@pytest.mark.conformance("deepgram", "client deepgram-sdk 7.17.0", "done", "live, sync and async")
@pytest.mark.parametrize(("environment", "flow", "kind"), SDKS)
def test_an_sdk_hears_everything_there_is(environment: str, flow: str, kind: str, embedded_url: str, call: str) -> None:
    heard = run_flow(environment, flow, embedded_url, call, "anything", kind)
    assert heard["has_started"]
    messages = [message for message in heard["messages"] if message.get("type")]
    results = [message for message in messages if message["type"] == "Results"]
    finals = [result for result in results if result["is_final"]]
    assert any(not result["is_final"] and result["channel"]["alternatives"][0]["transcript"] for result in results)
    said = [final for final in finals if words_of(final)]
    assert len(said) >= 2
    assert {word["speaker"] for final in said for word in words_of(final)} <= {0, 1}
    assert all(word["punctuated_word"] for final in said for word in words_of(final))
    assert said[0]["channel"]["alternatives"][0]["transcript"][0].isupper()  # smart_format
    assert [final["from_finalize"] for final in finals].count(True) == 1
    assert any(final["speech_final"] for final in finals)
    assert any(message["type"] == "SpeechStarted" for message in messages)
    ends = [message["last_word_end"] for message in messages if message["type"] == "UtteranceEnd"]
    assert ends[-1] == pytest.approx(words_of(said[-1])[-1]["end"])
    metadata = next(message for message in messages if message["type"] == "Metadata")
    assert metadata["duration"] == pytest.approx(10 + SILENCE_S, abs=0.1)
    assert results[0]["metadata"]["model_info"]["name"] == "pocketsphinx"  # whatever was asked for
    assert metadata["request_id"] == results[0]["metadata"]["request_id"]
    if environment in ("deepgram-sdk-6.0.1", "deepgram-sdk-7.17.0"):  # those that pass on what they do not know
        assert said[-1]["channel"]["alternatives"][0]["voice"]["pitch_hz"]["value"] > 50
    events = [message["event"].lower() for message in heard["messages"]]
    assert "close" in events
    assert not {"error", "unhandled"} & set(events)
    if environment == "deepgram-sdk-7.17.0":
        assert next(message for message in messages if message["type"] == "ConfigureSuccess")["keyterms"] == ["hello"]


@pytest.mark.conformance("deepgram", "client livekit-plugins-deepgram 1.8.9", "done", "live")
def test_livekit(embedded_url: str, call: str) -> None:
    heard = run_flow("deepgram-livekit", "deepgram_livekit", embedded_url, call, "anything")
    events = [message["event"] for message in heard["messages"] if message["event"] != "recognition_usage"]
    assert (events[0], events[-1]) == ("start_of_speech", "end_of_speech")
    assert "interim_transcript" in events
    finals = [message for message in heard["messages"] if message["event"] == "final_transcript"]
    assert len(finals) >= 2
    for final in finals:
        assert final["text"]
        assert final["speaker"] in ("S0", "S1")
        assert final["words"]
        assert final["end"] > final["start"]


@pytest.mark.conformance("deepgram", "client pipecat-ai 1.14.0", "done", "live")
def test_pipecat(embedded_url: str, call: str) -> None:
    messages = run_flow("deepgram-pipecat", "deepgram_pipecat", embedded_url, call, "anything")["messages"]
    finals = [message for message in messages if message["event"] == "TranscriptionFrame"]
    assert any(message["event"] == "InterimTranscriptionFrame" and message["text"] for message in messages)
    assert len(finals) >= 2
    assert all(speaker in (0, 1) for final in finals for _, speaker in final["words"])
    assert [final["finalized"] for final in finals].count(True) == 1  # the one its own Finalize brought
    assert not [message for message in messages if message["event"] == "ErrorFrame"]


@pytest.mark.parametrize(("environment", "flow", "kind"), [sdk for sdk in SDKS if sdk[0] != "deepgram-sdk-3.11.0"])
def test_a_wrong_key_is_told_by_the_sdk(environment: str, flow: str, kind: str, locked_url: str, call: str) -> None:
    answer = run_flow(environment, flow, locked_url, call, "wrong", kind)
    assert not answer["has_started"]
    if flow == NEWER:
        assert answer["status"] == 401


def test_livekit_with_a_wrong_key(locked_url: str, call: str) -> None:
    answer = run_flow("deepgram-livekit", "deepgram_livekit", locked_url, call, "wrong")
    assert answer == {"has_started": False, "status": 401, "messages": []}


def test_pipecat_with_a_wrong_key(locked_url: str, call: str) -> None:
    messages = run_flow("deepgram-pipecat", "deepgram_pipecat", locked_url, call, "wrong")["messages"]
    assert any(message["event"] == "ErrorFrame" and "401" in message["error"] for message in messages)
