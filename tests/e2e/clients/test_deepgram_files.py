"""Deepgram's own SDKs, unmodified, on real telephone speech against the bundled engines: files, tokens, models, and Flux."""

from __future__ import annotations

import hashlib
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.environments import run_flow

pytestmark = [pytest.mark.slow]

SPOKEN_S, SILENCE_S = 12, 3


@pytest.fixture(scope="module")
def call(two_speakers: tuple[bytes, int], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two people on the telephone, then silence, as a WAV file."""
    pcm, rate_hz = two_speakers
    start = int(6.5 * rate_hz) * 2
    path: Path = tmp_path_factory.mktemp("call") / "call.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm[start : start + SPOKEN_S * rate_hz * 2] + bytes(SILENCE_S * rate_hz * 2))
    return str(path)


def check_file(answer: dict[str, Any], call: str) -> None:
    metadata, results = answer["metadata"], answer["results"]
    assert metadata["sha256"] == hashlib.sha256(Path(call).read_bytes()).hexdigest()
    assert metadata["duration"] == pytest.approx(SPOKEN_S + SILENCE_S, abs=0.1)
    assert [info["name"] for info in metadata["model_info"].values()] == ["pocketsphinx"]  # whatever was asked for
    (channel,) = results["channels"]
    (alternative,) = channel["alternatives"]
    assert channel["detected_language"] == "en"
    assert len(alternative["words"]) > 10
    assert {word["speaker"] for word in alternative["words"]} <= {0, 1, 2}
    assert alternative["transcript"][0].isupper()
    assert alternative["transcript"].rstrip().endswith((".", "?"))
    assert all(word["punctuated_word"] and word["end"] >= word["start"] for word in alternative["words"])
    paragraphs = alternative["paragraphs"]["paragraphs"]
    assert sum(paragraph["num_words"] for paragraph in paragraphs) == len(alternative["words"])
    assert sum(len(utterance["words"]) for utterance in results["utterances"]) == len(alternative["words"])
    assert [found["query"] for found in channel["search"]] == ["you know", "zebra"]


@pytest.mark.conformance("deepgram", "client deepgram-sdk 7.17.0", "done", "files, tokens and models")
@pytest.mark.conformance("deepgram", "call POST /v1/listen", "done")
@pytest.mark.conformance("deepgram", "call POST /v1/auth/grant", "done")
@pytest.mark.conformance("deepgram", "call GET /v1/models", "done")
def test_sdk_7_with_files_tokens_and_models(embedded_url: str, call: str) -> None:
    told = run_flow("deepgram-sdk-7.17.0", "deepgram_files_7", embedded_url, call, "anything")
    check_file(told["file"], call)
    # It keeps only what its class knows of the metadata and of sentiment; tags are among the extras it keeps.
    assert told["file"]["metadata"]["tags"] == ["a", "b"]
    assert told["file"]["results"]["sentiments"]["segments"]
    heard = told["async"]["results"]["channels"][0]["alternatives"][0]
    assert heard["transcript"] == heard["transcript"].lower()  # no punctuation was asked for
    assert (told["refused_url"]["class"], told["refused_url"]["body"]["err_code"]) == ("BadRequestError", "REMOTE_CONTENT_ERROR")
    assert (told["refused_parameter"]["status"], told["refused_parameter"]["body"]["err_code"]) == (400, "NOT_SUPPORTED")
    assert told["expires_in"] == 60
    assert [model["name"] for model in told["models"]["stt"]] == ["pocketsphinx"]
    assert "en-us" in [model["name"] for model in told["models"]["tts"]]
    assert told["model"]["name"] == "pocketsphinx"
    assert told["model"]["version"]


@pytest.mark.conformance("deepgram", "client deepgram-sdk 3.11.0", "done", "files, tokens and models")
def test_sdk_3_with_files_tokens_and_models(embedded_url: str, call: str) -> None:
    told = run_flow("deepgram-sdk-3.11.0", "deepgram_files_3", embedded_url, call, "anything")
    check_file(told["file"], call)
    assert told["refused_url"]["status"] == "400"  # as this SDK has it
    assert "VOXRELAY_GATEWAY_ALLOWED_PORTS" in told["refused_url"]["text"]
    assert told["expires_in"] == 30
    assert [model["name"] for model in told["models"]["stt"]] == ["pocketsphinx"]


@pytest.mark.conformance("deepgram", "client deepgram-sdk 7.17.0", "done", "Flux, sync and async")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sdk_7_with_flux(embedded_url: str, call: str, kind: str) -> None:
    told = run_flow("deepgram-sdk-7.17.0", "deepgram_flux_7", embedded_url, call, "anything", kind)
    assert "error" not in {message["event_type"] for message in told}
    assert told[-1]["event_type"] == "close"
    messages = [message for message in told if "sequence_id" in message]
    assert [message["sequence_id"] for message in messages] == list(range(len(messages)))
    assert [message["class"] for message in messages[:2]] == ["ListenV2Connected", "ListenV2ConfigureSuccess"]
    assert messages[1]["thresholds"] == {"eager_eot_threshold": 0.4, "eot_threshold": 0.9, "eot_timeout_ms": 3000}
    turns = [message for message in messages if message["type"] == "TurnInfo"]
    assert {message["class"] for message in turns} == {"ListenV2TurnInfo"}
    ended = [turn for turn in turns if turn["event"] == "EndOfTurn"]
    assert ended
    assert {turn["event"] for turn in turns} >= {"StartOfTurn", "EndOfTurn"}  # updates thin out on a busy machine
    assert {turn["event"] for turn in turns} & {"Update", "EagerEndOfTurn", "TurnResumed"}
    assert [turn["turn_index"] for turn in ended] == list(range(len(ended)))
    assert ended[0]["trigger"] == "model"
    assert sum(len(turn["words"]) for turn in ended) > 10
    for before, turn in pairwise(turns):
        if turn["event"] == "EndOfTurn" and before["event"] == "EagerEndOfTurn":
            assert turn["transcript"] == before["transcript"]
