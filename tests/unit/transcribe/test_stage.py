"""The stage with a scripted transcriber: what comes out when, and that batches, restarts and other sessions change none of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from services.transcribe.engine import Advance, Hypothesis, Transcriber
from services.transcribe.stage import TranscribeStage
from tests.unit.transcribe.scripted import ScriptedTranscriber
from voxrelay.audio import pcm_s16le_from_float32
from voxrelay.errors import Unavailable
from voxrelay.events import (
    AudioDenoised,
    Event,
    FinalizeRequested,
    Payload,
    SegmentTranscribed,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.models.slot import EngineSlot

CHUNK = 1_600


def slot(transcriber: ScriptedTranscriber) -> EngineSlot[Transcriber]:
    return EngineSlot("transcribe", transcriber)


def audio(first_chunk: int, last_chunk: int, probability: float = 0.9) -> list[Payload]:
    """Chunks of 100 ms whose samples tell where they are."""
    return [
        AudioDenoised(number * CHUNK, pcm_s16le_from_float32(np.full(CHUNK, (number + 1) / 1024, dtype=np.float32)), "", probability)
        for number in range(first_chunk, last_chunk)
    ]


def conversation(config: SessionConfig) -> list[Payload]:
    """Two utterances; the vocabulary changes in the first, whose end is announced half a second late."""
    changed = SessionConfig(language="en", custom_vocabulary=("avonlea",), interim_results=config.interim_results, stages=config.stages)
    return [
        SessionOpened(config),
        *audio(0, 10, 0.1),
        UtteranceStarted("u1", 8 * CHUNK),
        *audio(10, 20),
        SessionConfigured(changed),
        *audio(20, 25, 0.1),
        UtteranceEnded("u1", 8 * CHUNK, 20 * CHUNK + 77),
        *audio(25, 31),
        UtteranceStarted("u2", 29 * CHUNK - 5),
        *audio(31, 36),
        FinalizeRequested(1),
        UtteranceEnded("u2", 29 * CHUNK - 5, 36 * CHUNK, "finalize"),
        *audio(36, 40, 0.0),
        SessionEnded("closed", 4.0),
    ]


def payloads(events: Iterable[Event], session_id: str = "s") -> list[Payload]:
    return [event.payload for event in events if event.session_id == session_id]


def run(parts: Sequence[Payload], *, interim_every_ms: int = 300) -> list[Payload]:
    stage = TranscribeStage(slot(ScriptedTranscriber()), interim_every_ms=interim_every_ms)
    return payloads(result for part in parts for result in stage.process([Event("s", part)]))


def durable(results: Iterable[Payload]) -> list[Payload]:
    return [result for result in results if result.is_durable]


def finals(results: Iterable[Payload]) -> list[SegmentTranscribed]:
    return [result for result in results if isinstance(result, SegmentTranscribed) and result.is_final]


def interims(results: Iterable[Payload]) -> list[SegmentTranscribed]:
    return [result for result in results if isinstance(result, SegmentTranscribed) and not result.is_final]


def test_each_utterance_gets_one_final_of_exactly_its_samples_and_the_session_is_finished() -> None:
    results = durable(run(conversation(SessionConfig())))
    first, second = finals(results)
    assert (first.utterance_id, first.start_s, first.end_s) == ("u1", 0.8, round((20 * CHUNK + 77) / 16_000, 6))
    assert first.text.split()[0] == str((12 * CHUNK + 77) // 100)
    assert first.words[0].start_s == 0.8
    assert first.words[0].end_s == first.end_s
    assert (second.utterance_id, second.end_s) == ("u2", 3.6)
    assert results[-1] == StageFinished("transcribe", 2, 4.0)
    assert first.engine.name == "scripted"
    assert first.language == "en"


def test_new_vocabulary_is_in_force_from_the_next_utterance_on() -> None:
    first, second = finals(run(conversation(SessionConfig())))
    assert "avonlea" not in first.text
    assert "avonlea" in second.text


def test_interims_come_at_the_cadence_and_every_final_has_the_highest_revision() -> None:
    results = run(conversation(SessionConfig()))
    for final in finals(results):
        revisions = [interim.revision for interim in interims(results) if interim.utterance_id == final.utterance_id]
        assert revisions == sorted(set(revisions))
        assert revisions
        assert revisions[-1] < final.revision
    assert [interim.revision for interim in interims(results) if interim.utterance_id == "u1"] == [1, 2, 3, 4]


def test_an_interim_leaves_the_pause_out_that_may_end_the_utterance() -> None:
    results = run([*conversation(SessionConfig())[:-6], *audio(31, 35, 0.0)])
    assert max(interim.end_s for interim in interims(results) if interim.utterance_id == "u1") == 2.0


def test_no_interims_where_they_are_not_wanted() -> None:
    results = run(conversation(SessionConfig(interim_results=False)))
    assert interims(results) == []
    assert durable(results) == durable(run(conversation(SessionConfig())))


def test_a_session_that_did_not_ask_is_ignored() -> None:
    assert run(conversation(SessionConfig(stages=("denoise", "diarize")))) == []


def test_records_of_an_unknown_or_ended_session_are_ignored() -> None:
    parts = conversation(SessionConfig())
    assert run(parts[1:]) == []
    assert run([*parts, *parts[1:]]) == run(parts)


def test_all_that_is_due_goes_to_the_engine_in_one_call() -> None:
    transcriber = ScriptedTranscriber()
    stage = TranscribeStage(slot(transcriber))
    list(stage.process([Event(session, part) for part in conversation(SessionConfig()) for session in "abc"]))
    assert transcriber.calls == [6]


class _Failing(ScriptedTranscriber):
    """Dies in its second call, with what it was to do in it."""

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        if self.calls:
            for step in work:
                self.discard(step.stream)
            raise Unavailable("The engine died.")
        return super().advance(work)


def _three_utterances() -> list[Event]:
    payloads: list[Payload] = [SessionOpened(SessionConfig(stages=("denoise", "transcribe")))]
    for number in range(3):
        payloads += [UtteranceStarted(f"u{number}", 10 * number * CHUNK), *audio(10 * number, 10 * number + 10)]
        payloads += [UtteranceEnded(f"u{number}", 10 * number * CHUNK, (10 * number + 10) * CHUNK)]
    return [Event("s", payload) for payload in payloads]


def test_of_a_long_batch_the_first_results_come_before_the_last_utterances_are_decoded() -> None:
    transcriber = ScriptedTranscriber()
    results = iter(TranscribeStage(slot(transcriber), is_urgent=False, at_once_s=1.5).process(_three_utterances()))
    told = [next(results), next(results)]
    assert ([event.payload.utterance_id for event in told], transcriber.calls) == (["u0", "u1"], [2])  # type: ignore[attr-defined]
    assert [event.payload.utterance_id for event in results] == ["u2"]  # type: ignore[attr-defined]
    assert transcriber.calls == [2, 1]


@pytest.mark.parametrize("at_once_s", [0.5, 1.5])
def test_what_waits_behind_a_call_that_failed_leaves_no_stream(at_once_s: float) -> None:
    transcriber = _Failing()
    with pytest.raises(Unavailable):
        list(TranscribeStage(slot(transcriber), is_urgent=False, at_once_s=at_once_s).process(_three_utterances()))
    assert not transcriber.streams


@pytest.mark.parametrize("seed", range(8))
def test_durable_results_depend_on_the_session_alone(seed: int) -> None:
    expected = durable(run(conversation(SessionConfig())))
    choose = random.Random(seed)
    transcriber = ScriptedTranscriber()
    stage = TranscribeStage(slot(transcriber))
    queues = {name: list(conversation(SessionConfig(interim_results=name != "b"))) for name in "ab"}
    results: list[Event] = []
    restored = 0
    while any(queues.values()):
        batch = []
        for _ in range(choose.randint(1, 12)):
            name = choose.choice([name for name, queue in queues.items() if queue])
            batch.append(Event(name, queues[name].pop(0)))
            if not any(queues.values()):
                break
        results += stage.process(batch)
        saved = {name: stage.snapshot(name) for name in "ab"}
        if choose.random() < 0.5 and all(saved.values()):
            stage = TranscribeStage(slot(transcriber))
            restored += 1
            for name, state in saved.items():
                assert state is not None
                stage.restore(name, state)
    assert durable(payloads(results, "a")) == expected
    assert durable(payloads(results, "b")) == expected
    assert transcriber.streams == {}


def test_a_snapshot_is_none_in_mid_utterance_and_small_between() -> None:
    stage = TranscribeStage(slot(ScriptedTranscriber()))
    parts = conversation(SessionConfig())
    assert stage.snapshot("s") is None
    list(stage.process([Event("s", part) for part in parts[:13]]))
    assert stage.snapshot("s") is None
    list(stage.process([Event("s", part) for part in parts[13:30]]))
    state = stage.snapshot("s")
    assert state is not None
    assert len(state) < 33_000


def test_forgetting_a_session_in_mid_utterance_frees_its_stream() -> None:
    transcriber = ScriptedTranscriber()
    stage = TranscribeStage(slot(transcriber))
    list(stage.process([Event("s", part) for part in conversation(SessionConfig())[:15]]))
    assert transcriber.streams
    stage.forget("s")
    assert transcriber.streams == {}
