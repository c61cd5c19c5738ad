"""The embedded platform and the command line, as a person uses them, on real speech."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from evaluation.metrics.words import word_errors
from tests.e2e.conftest import Embedded
from tests.e2e.streaming import pcm_of, stream
from voxrelay.v1 import services_pb2, services_pb2_grpc

pytestmark = [pytest.mark.slow]

CLIP = "1688-142285-0003.flac"
SAID = "i really liked that account of himself better than anything else he said"


def _run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOXRELAY_")}
    command = [sys.executable, "-m", "voxrelay.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def clip(eval_data: Path) -> Path:
    return eval_data / "asr" / "librispeech-test-other" / CLIP


@pytest.fixture(scope="module")
def listened(embedded: Embedded, clip: Path) -> list[dict[str, object]]:
    done = _run("listen", embedded.url, "--file", str(clip), "--speed", "1", "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_listen_streams_a_file_and_prints_every_message(listened: list[dict[str, object]]) -> None:
    assert [listened[0]["type"], listened[-1]["type"]] == ["session", "closed"]
    finals = [message for message in listened if message["type"] == "final"]
    assert any(message["type"] == "interim" for message in listened)
    assert word_errors(SAID, " ".join(str(message["transcript"]) for message in finals)).rate < 0.7
    final = finals[0]
    assert final["speaker"] == "S1"
    assert {"pitch_hz", "energy_dbfs", "sentiment", "language"} <= final["attributes"].keys()  # type: ignore[attr-defined]


def test_listen_prints_who_said_what_when_and_how(embedded: Embedded, clip: Path) -> None:
    done = _run("listen", embedded.url, "--file", str(clip), "--speed", "8")
    assert "S1: " in done.stdout
    assert done.stdout.startswith("00:0")
    assert "pitch" in done.stdout


def test_the_same_platform_for_one_command(clip: Path, tmp_path: Path) -> None:
    """What `make run AUDIO=…` does: start, stream, print, end; then the session is there."""
    done = _run("listen", "--file", str(clip), "--speed", "8", "--data", str(tmp_path))
    assert "S1: " in done.stdout
    assert "yes" in _run("sessions", "list", "--data", str(tmp_path)).stdout
    assert "S1: " in _run("sessions", "show", "last", "--data", str(tmp_path)).stdout
    assert list(tmp_path.rglob("*.flac"))


def test_transcribe_files_good_and_bad(embedded: Embedded, clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "letter.wav"
    bad.write_text("Dear Sir, this is no sound at all, whatever its name says.")
    done = _run("transcribe", str(clip), str(bad), "--url", embedded.url, "--json", status=1)
    result = json.loads(done.stdout)
    assert result["audio_seconds"] > 4
    assert result["utterances"][0]["words"]
    assert "INVALID_AUDIO_FORMAT" in done.stderr
    assert "no file" in _run("transcribe", "nowhere.wav", "--url", embedded.url, status=2).stderr


def test_sessions_are_listed_shown_searched_and_exported(embedded: Embedded, listened: list[dict[str, object]]) -> None:
    data, session_id = ("--data", str(embedded.data)), str(listened[0]["session_id"])
    summaries = json.loads(_run("sessions", "list", "--json", *data).stdout)
    mine = next(summary for summary in summaries if summary["session_id"] == session_id)
    assert mine["is_complete"]
    shown = json.loads(_run("sessions", "show", session_id, "--json", *data).stdout)
    word = max((w["word"] for u in shown["utterances"] for w in u["words"]), key=len)
    assert session_id in _run("sessions", "search", word, *data).stdout
    for as_, mark in {"json": '"utterances"', "srt": "-->", "vtt": "WEBVTT", "rttm": "SPEAKER", "txt": "S1: "}.items():
        assert mark in _run("sessions", "export", session_id, "--format", as_, *data).stdout
    assert "no session" in _run("sessions", "show", "nobody", *data, status=3).stderr
    _run("sessions", "export", session_id, "--format", "docx", *data, status=2)


def test_speak_and_listen_to_it(embedded: Embedded, tmp_path: Path) -> None:
    spoken = tmp_path / "speech.wav"
    _run("speak", "One. Two. Three. Four. Five.", "--url", embedded.url, "--output", str(spoken))
    result = json.loads(_run("transcribe", str(spoken), "--url", embedded.url, "--json").stdout)
    heard = " ".join(utterance["transcript"] for utterance in result["utterances"]).split()
    assert len({"one", "two", "three", "four", "five"} & set(heard)) >= 3
    assert "UNKNOWN_VOICE" in _run("speak", "Hello.", "--voice", "nobody", "--url", embedded.url, status=1).stderr


def test_a_platform_that_is_not_there_is_said(clip: Path) -> None:
    assert "does not answer" in _run("transcribe", str(clip), "--url", "http://127.0.0.1:9", status=1).stderr
    assert _run("listen", "ws://127.0.0.1:9", "--file", str(clip), status=1).stderr


def test_silence_and_noise_say_nothing(embedded: Embedded, eval_data: Path) -> None:
    import numpy as np

    generator = np.random.default_rng(5)
    noise = (generator.standard_normal(16_000 * 8) * 300).astype("<i2").tobytes()
    for pcm in (bytes(16_000 * 2 * 8), noise):
        heard = asyncio.run(stream(embedded.url, pcm, 16_000, speed=8.0))
        assert not heard.of("final")
        assert heard.of("closed")


def test_many_callers_at_once_get_what_each_would_alone(embedded: Embedded, eval_data: Path) -> None:
    names = ("1688-142285-0003.flac", "3005-163389-0001.flac", "1688-142285-0000.flac")
    calls = [pcm_of(eval_data / "asr" / "librispeech-test-other" / name) for name in names]

    async def together() -> list[list[dict[str, object]]]:
        return [heard.finals for heard in await asyncio.gather(*(stream(embedded.url, *call, speed=2.0) for call in calls))]

    alone = [asyncio.run(stream(embedded.url, *call, speed=4.0)).finals for call in calls]
    assert asyncio.run(together()) == alone


def test_every_capability_answers_alone_over_grpc(embedded: Embedded, clip: Path) -> None:
    pcm, rate_hz = pcm_of(clip)
    audio = services_pb2.Audio(pcm_s16le=pcm, sample_rate_hz=rate_hz)
    with grpc.insecure_channel(embedded.grpc) as channel:
        enhanced = services_pb2_grpc.EnhancementStub(channel).Enhance(services_pb2.EnhanceRequest(audio=audio), timeout=60)  # type: ignore[no-untyped-call]
        assert enhanced.utterances
        known = {"audio": enhanced.audio, "utterances": enhanced.utterances}
        transcribed = services_pb2_grpc.TranscriptionStub(channel).Transcribe(services_pb2.TranscribeRequest(**known), timeout=60)  # type: ignore[no-untyped-call]
        assert word_errors(SAID, " ".join(segment.text for segment in transcribed.segments)).rate < 0.7
        diarized = services_pb2_grpc.DiarizationStub(channel).Diarize(services_pb2.DiarizeRequest(**known), timeout=60)  # type: ignore[no-untyped-call]
        assert {segment.speaker for segment in diarized.segments} == {"S1"}
        request = services_pb2.ClassifyRequest(audio=enhanced.audio, text=SAID)
        classified = services_pb2_grpc.ClassificationStub(channel).Classify(request, timeout=60)  # type: ignore[no-untyped-call]
        assert {"pitch_hz", "sentiment"} <= {attribute.name for attribute in classified.attributes}
        spoken = list(services_pb2_grpc.SynthesisStub(channel).Synthesize(services_pb2.SynthesizeRequest(text="Hello."), timeout=60))  # type: ignore[no-untyped-call]
        assert b"".join(piece.pcm_s16le for piece in spoken)
        archive = services_pb2_grpc.ArchiveStub(channel)  # type: ignore[no-untyped-call]
        assert archive.ListSessions(services_pb2.ListSessionsRequest(), timeout=10).sessions


def test_help_of_every_command() -> None:
    for command in ("serve", "transcribe", "listen", "speak", "sessions", "topics", "models", "database"):
        assert len(_run(command, "--help").stdout) > 200
    assert _run("--version").stdout.strip()
    assert "silero-vad" in _run("models", "list").stdout
    assert "speech.audio.received.v1" in _run("topics", "list").stdout
    assert json.loads(_run("topics", "describe", "segment.transcribed").stdout)["written_by"] == ["transcribe"]
    _run("topics", "create", status=2)


def test_the_doctor_finds_nothing_wrong(embedded: Embedded, listened: list[dict[str, object]]) -> None:
    port, grpc_port = embedded.url.rpartition(":")[2], embedded.grpc.rpartition(":")[2]
    found = json.loads(_run("doctor", "--json", "--timeout", "60", "--data", str(embedded.data), "--port", port, "--grpc-port", grpc_port).stdout)
    healthy = {"BROKER_NOT_USED", "DATABASE_CURRENT", "OBJECTS_WORK", "CLOCK_ALONE", "MODELS_WHOLE", "ENGINES_READY", "PORT_OURS"}
    assert healthy <= {line["code"] for line in found}
    assert "PORT_TAKEN" not in {line["code"] for line in found}
