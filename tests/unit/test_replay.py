"""Replaying with another model: the retained audio through the real stage, compared with what was published, and nothing else touched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
import typer

from services.replay import replay
from services.transcribe.engine import Advance, Hypothesis, Transcriber
from services.transcribe.stage import TranscribeStage
from tests.unit.transcribe.scripted import ScriptedTranscriber
from tests.unit.transcribe.test_stage import conversation
from voxrelay import codec
from voxrelay.bus.memory import MemoryBus
from voxrelay.cli import replay as command
from voxrelay.cli.console import Failure
from voxrelay.events import Event, Payload, SessionConfig
from voxrelay.models.comparison import Difference, differences, published
from voxrelay.models.slot import EngineSlot
from voxrelay.topology import AUDIO_DENOISED, SEGMENT_TRANSCRIBED, Topic, topic_specs

CONVERSATION = conversation(SessionConfig())


class Mumbling(ScriptedTranscriber):
    """Says one word less of everything, and another in its place."""

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        answers = super().advance(work)
        return [replace(answer, text=f"hm {' '.join(answer.text.split()[2:])}") if answer is not None else None for answer in answers]


def stage(transcriber: ScriptedTranscriber) -> TranscribeStage:
    slot: EngineSlot[Transcriber] = EngineSlot("transcribe", transcriber)
    return TranscribeStage(slot)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.create_topics(topic_specs(2))
    return bus


def publish(bus: MemoryBus, topic: Topic, session_id: str, payloads: Sequence[Payload], producer: str) -> None:
    sender, sequence = bus.producer(), 0
    for payload in payloads:
        sequence += payload.is_durable
        event = Event(session_id, payload, producer, sequence if payload.is_durable else 0, f"{session_id}/{producer}/{sequence}", time.time())
        sender.send(topic.name("live"), *codec.encode(event, topic.encoding))
    sender.flush()


def speak(bus: MemoryBus, session_id: str) -> None:
    """A session as denoise published it, and what the live stage made of it."""
    publish(bus, AUDIO_DENOISED, session_id, CONVERSATION, "denoise")
    live = stage(ScriptedTranscriber())
    results = [result.payload for part in CONVERSATION for result in live.process([Event(session_id, part)])]
    publish(bus, SEGMENT_TRANSCRIBED, session_id, results, "transcribe")


def compared(bus: MemoryBus, transcriber: ScriptedTranscriber, begin_s: float, end_s: float) -> list[Difference]:
    done = replay(bus, stage(transcriber), "live", begin_s, end_s)
    return differences(published(bus, "live", begin_s, done.texts), done.texts)


def test_the_same_model_says_the_same(bus: MemoryBus) -> None:
    begin_s = time.time() - 1
    sessions = [f"session-{number}" for number in range(5)]
    for session in sessions:
        speak(bus, session)
    found = compared(bus, ScriptedTranscriber(), begin_s, time.time() + 1)
    assert sorted(one.session_id for one in found) == sessions
    assert {(one.utterances, one.errors, one.wer) for one in found} == {(2, 0, 0.0)}
    assert all(one.words_published == one.words_other > 0 for one in found)


def test_the_differences_of_another_model_are_counted(bus: MemoryBus) -> None:
    speak(bus, "s")
    (found,) = compared(bus, Mumbling(), time.time() - 10, time.time() + 1)
    assert found.utterances == 2
    assert found.errors > 0
    assert found.wer == found.errors / found.words_published


def test_what_was_published_twice_counts_once(bus: MemoryBus) -> None:
    speak(bus, "s")
    speak(bus, "s")
    once = replay(bus, stage(ScriptedTranscriber()), "live", time.time() - 10, time.time() + 1)
    assert once.audio_seconds == pytest.approx(4.0)
    (found,) = differences(published(bus, "live", time.time() - 10, once.texts), once.texts)
    assert (found.utterances, found.errors) == (2, 0)


def test_sessions_that_opened_outside_the_span_are_left_out(bus: MemoryBus) -> None:
    publish(bus, AUDIO_DENOISED, "early", CONVERSATION[:20], "denoise")
    time.sleep(0.05)
    middle_s = time.time()
    publish(bus, AUDIO_DENOISED, "early", CONVERSATION[20:], "denoise")
    speak(bus, "s")
    time.sleep(0.05)
    end_s = time.time()
    speak(bus, "late")
    assert [one.session_id for one in compared(bus, ScriptedTranscriber(), middle_s, end_s)] == ["s"]
    assert compared(bus, ScriptedTranscriber(), end_s + 60, end_s + 120) == []


def test_nothing_is_committed_or_published(bus: MemoryBus) -> None:
    speak(bus, "s")
    before = {name: bus.lag("transcribe", [name]) for name in bus.topics()}
    compared(bus, Mumbling(), time.time() - 10, time.time() + 1)
    assert {name: bus.lag("transcribe", [name]) for name in bus.topics()} == before


def test_word_errors_where_nothing_was_said() -> None:
    before = {"a": {"u1": "", "u2": "", "u3": "Hello, world."}, "b": {"u1": ""}}
    after = {"a": {"u1": "", "u2": "oh no", "u3": "hello world"}, "b": {"u1": "oh"}, "c": {"u1": "nobody published this"}}
    found = {one.session_id: one for one in differences(before, after)}
    assert (found["a"].errors, found["a"].words_published, found["a"].wer) == (2, 2, 1.0)
    assert found["b"].wer == 1.0
    assert set(found) == {"a", "b"}


def test_when_is_said_as_a_time_or_as_so_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(command.os, "execv", lambda _, arguments: started.append(arguments[3:]))
    monkeypatch.setattr(time, "time", lambda: 10_000.0)
    app = typer.Typer()
    app.command()(command.replay)
    from typer.testing import CliRunner

    def run(*arguments: str) -> None:
        result = CliRunner().invoke(app, ["--model", "m", *arguments])
        if isinstance(result.exception, Failure):
            raise result.exception

    run("--from", "2h", "--to", "30m")
    run("--from", "1970-01-01T00:00:10+00:00", "--json")
    assert started[0] == ["--model", "m", "--from", "2800.0", "--to", "8200.0", "--lane", "live"]
    assert started[1] == ["--model", "m", "--from", "10.0", "--to", "10000.0", "--lane", "live", "--json"]
    for wrong in (["--from", "1m", "--to", "2m"], ["--from", "yesterday"], ["--lane", "middle"]):
        with pytest.raises(Failure):
            run(*wrong)
