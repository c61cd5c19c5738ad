"""Speech with other people's clients, unmodified, on the bundled engine; what was spoken is transcribed back to its words."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import Callable
from typing import Any

import av
import httpx
import pytest
from websockets.asyncio.client import connect

from tests.e2e.clients.environments import run_flow

TEXT = "I would like to make an appointment for next monday morning."
SPOKEN_S = (2.0, 5.0)


def _audio(text: str) -> bytes:
    return base64.b64decode(text)


def _wav(pcm: bytes, rate_hz: int) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    return target.getvalue()


def _seconds(audio: bytes) -> float:
    with av.open(io.BytesIO(audio)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


@pytest.fixture(scope="module")
def heard_in(embedded_url: str) -> Callable[[bytes], set[str]]:
    """The words that the bundled recogniser hears in a file."""

    def words(audio: bytes) -> set[str]:
        answer = httpx.post(f"{embedded_url}/api/process?diarize=false&attributes=false", content=audio, timeout=60)
        return {word for utterance in answer.json()["utterances"] for word in utterance["transcript"].split()}

    return words


def _most(words: set[str]) -> bool:
    """Seven of the eleven: the bundled voice and the bundled recogniser are both plain ones."""
    return len(words & set(TEXT.lower().rstrip(".").split())) >= 7


@pytest.mark.conformance("deepgram", "client deepgram-sdk 7.17.0 speak", "done")
def test_deepgram_7(embedded_url: str, heard_in: Callable[[bytes], set[str]]) -> None:
    found: dict[str, Any] = run_flow("deepgram-sdk-7.17.0", "deepgram_speak_7", embedded_url, TEXT)
    for audio in [*found["rest"].values(), found["plain"]]:
        assert SPOKEN_S[0] < _seconds(_audio(audio)) < SPOKEN_S[1]
    assert _most(heard_in(_audio(found["rest"]["wav"])))
    assert (found["headers"]["dg-model-name"], found["headers"]["dg-char-count"]) == ("en-us+f2", str(len(TEXT)))
    live = found["live"]
    assert [message["type"] for message in live["messages"]] == ["Metadata", "Flushed", "Cleared"]  # this client's class of the last is Flushed
    assert [message.get("sequence_id") for message in live["messages"]] == [None, 0, 1]
    assert _most(heard_in(_wav(_audio(live["audio"]), 16_000)))
    assert 8000 * SPOKEN_S[0] < found["async"]["bytes"] < 8000 * SPOKEN_S[1]
    assert found["async"]["messages"][0]["model_name"] == "en-gb"
    assert (found["refusal"]["class"], found["refusal"]["body"]["err_code"]) == ("BadRequestError", "UNKNOWN_VOICE")


@pytest.mark.conformance("deepgram", "client deepgram-sdk 3.11.0 speak", "done")
def test_deepgram_3(embedded_url: str, heard_in: Callable[[bytes], set[str]]) -> None:
    found = run_flow("deepgram-sdk-3.11.0", "deepgram_speak_3", embedded_url, TEXT)
    assert _most(heard_in(_audio(found["memory"])))
    assert found["headers"] | {"request_id": ""} == {"request_id": "", "model_name": "en-us+f2", "characters": len(TEXT), "type": "audio/wav"}
    assert SPOKEN_S[0] < _seconds(_audio(found["file"])) < SPOKEN_S[1]
    assert [message["type"] for message in found["live"]["messages"]] == ["Metadata", "Flushed", "Cleared"]
    assert _most(heard_in(_wav(_audio(found["live"]["audio"]), 16_000)))


@pytest.mark.conformance("openai", "client openai 3.52.0 speech", "done")
def test_openai(embedded_url: str, heard_in: Callable[[bytes], set[str]]) -> None:
    found = run_flow("openai-3.52.0", "openai_speech", embedded_url, TEXT)
    files = {name: _audio(audio) for name, audio in found["formats"].items()}
    files["pcm"] = _wav(files["pcm"], 24_000)
    for audio in files.values():
        assert SPOKEN_S[0] < _seconds(audio) < SPOKEN_S[1]
    for name in ("wav", "pcm", "mp3"):
        assert _most(heard_in(files[name]))
    assert found["streamed"] == len(files["mp3"])
    assert found["voice"] == "en-us+f2"
    assert _wav(_audio(found["sse"]), 24_000) == files["pcm"]
    assert set(found["events"][:-1]) == {"speech.audio.delta"}
    assert found["usage"]["input_tokens"] == 11
    assert found["refusal"] == {"param": "voice", "code": "unknown_voice"}


@pytest.mark.conformance("native", "client websockets, speech", "done")
async def test_native(embedded_url: str, heard_in: Callable[[bytes], set[str]]) -> None:
    url = embedded_url.replace("http", "ws", 1) + "/ws/v1/speak?voice=en-us%2Bf2&sample_rate=16000&word_times=true"
    audio, words = b"", []
    async with connect(url) as socket:
        for piece in TEXT.split(" "):
            await socket.send(json.dumps({"type": "text", "text": piece + " "}))
        await socket.send(json.dumps({"type": "close"}))
        async with asyncio.timeout(60):
            async for message in socket:
                if isinstance(message, bytes):
                    audio += message
                elif json.loads(message)["type"] == "words":
                    words += json.loads(message)["words"]
    assert await asyncio.to_thread(lambda: _most(heard_in(_wav(audio, 16_000))))
    assert [word["word"] for word in words] == TEXT.rstrip(".").split()
    assert words == sorted(words, key=lambda word: word["start"])
    assert words[-1]["start"] < len(audio) / 32_000


def test_every_voice_of_the_table_is_one_of_the_bundled_engine(embedded_url: str) -> None:
    voices = httpx.get(f"{embedded_url}/api/v2/voices").json()["voices"]
    for voice in voices:
        answer = httpx.post(f"{embedded_url}/v1/speak", json={"text": "Yes.", "voice": voice["name"]}, timeout=60)
        assert (answer.status_code, voice["name"]) == (200, voice["name"])
