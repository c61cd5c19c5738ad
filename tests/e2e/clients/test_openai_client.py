"""OpenAI's own client, unmodified, on real speech against the running platform with the bundled engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from evaluation.metrics.words import word_errors
from tests.e2e.clients.environments import run_flow
from voxrelay.audio import float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.resampling import resample

pytestmark = [pytest.mark.slow]

SAID = (
    "if the reader will excuse me i will say nothing of my antecedents nor of the circumstances which led me to leave my native country "
    "the narrative would be tedious to him and painful to myself"
)
WORST_RATE = 0.5  # of the words, with the bundled engine
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def found(embedded_url: str, eval_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    speech = eval_data / "asr" / "librispeech-dev-clean" / "2412-153948-0000.flac"
    with av.open(str(speech)) as container:
        rate_hz = container.streams.audio[0].rate
        pcm = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype("<i2").tobytes()
    samples = tmp_path_factory.mktemp("openai") / "speech.pcm"
    samples.write_bytes(pcm_s16le_from_float32(resample(float32_from_pcm_s16le(pcm), rate_hz, 24_000)))
    call = eval_data / "diarization" / "sample" / "sample.wav"
    return run_flow("openai-3.52.0", "openai_audio", embedded_url, str(speech), str(samples), str(call))


@pytest.mark.conformance("openai", "client openai 3.52.0", "done", "files, streams, errors, realtime, client secrets")
def test_files_in_every_format(found: Any) -> None:
    text = found["json"]["text"]
    assert word_errors(SAID, text).rate < WORST_RATE
    assert found["json"]["seconds"] == pytest.approx(11.66, abs=0.1)
    assert found["json"]["languages"] == ["en"]
    assert found["text"] == text + "\n"
    assert found["srt"].startswith("1\n00:00:0")
    assert found["vtt"].startswith("WEBVTT\n\n00:00:0")
    for subtitles in (found["srt"], found["vtt"]):
        assert all(word in subtitles for word in text.split())
    verbose = found["verbose_json"]
    assert (verbose["language"], verbose["duration"]) == ("english", found["json"]["seconds"])
    assert " ".join(segment[2] for segment in verbose["segments"]) == text
    assert [word for word, _, _ in verbose["words"]] == text.split()
    assert all(0.0 <= start <= end <= 12.0 for _, start, end in verbose["words"])
    assert "".join(token for token, _ in found["logprobs"]) == found["logprobs_text"]
    assert all(logprob <= 0.0 for _, logprob in found["logprobs"])


def test_speakers_are_lettered_from_a_on(found: Any) -> None:
    kinds, speakers, texts = zip(*found["diarized_json"], strict=True)
    assert set(kinds) == {"transcript.text.segment"}
    assert speakers[0] == "A"
    assert all(texts)


def test_a_stream_says_what_the_whole_answer_says(found: Any) -> None:
    *deltas, done = found["stream"]
    assert {kind for kind, _ in deltas} == {"transcript.text.delta"}
    assert len(deltas) >= 2
    assert done == ["transcript.text.done", "".join(delta for _, delta in deltas)]
    assert done[1] == found["json"]["text"]
    assert set(found["diarized_stream"]) == {"transcript.text.delta", "transcript.text.segment", "transcript.text.done"}


def test_refusals_are_the_clients_own_errors(found: Any) -> None:
    name, status, kind, _, code, message = found["translation"]
    assert (name, status, kind, code) == ("InternalServerError", 501, "invalid_request_error", "no_translation")
    assert "faster-whisper" in message
    assert found["unknown_language"][:5] == ["BadRequestError", 400, "invalid_request_error", "language", "unsupported_language"]
    assert found["known_speakers"][:5] == ["BadRequestError", 400, "invalid_request_error", "known_speaker_names[]", "not_supported"]
    assert found["keywords"]


def test_realtime_with_turns_that_the_server_detects(found: Any) -> None:
    realtime = found["realtime"]
    assert realtime["deltas"] == realtime["transcripts"]
    assert realtime["transcripts"][-1] == ""
    assert word_errors(SAID, " ".join(realtime["transcripts"])).rate < WORST_RATE
    assert {
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.delta",
        f"{TRANSCRIPTION}.completed",
    } == set(realtime["kinds"])
    assert "input_audio_buffer.cleared" in found["after_clear"]
    assert found["after_clear"][2] == "input_audio_buffer_commit_empty"


def test_a_client_secret_and_a_client_that_commits(found: Any) -> None:
    assert found["secret"] == ["ek_", "RealtimeTranscriptionSessionCreateResponse", None]
    (transcript,) = found["committed"]["transcripts"]
    assert found["committed"]["deltas"] == [transcript]
    assert word_errors(SAID, transcript).rate < WORST_RATE
    assert "input_audio_buffer.speech_started" not in found["committed"]["kinds"]
