"""Both stages: what comes out when, and that batches, restarts and other sessions change none of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pytest

from services.classify.engine import AcousticClassifier, TranscribedText
from services.classify.engines.acoustic import SignalClassifier
from services.classify.stage import LONGEST_SAMPLES, AcousticStage, TextStage
from tests.unit.classify.voices import CountingClassifier, syllables_at, white_noise
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.events import (
    Attribute,
    AudioDenoised,
    Engine,
    Event,
    FinalizeRequested,
    Payload,
    SegmentClassified,
    SegmentTranscribed,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
    Word,
)
from voxrelay.models.slot import EngineSlot
from voxrelay.stage import Stage

CHUNK = 1_600
SECONDS = 16
SOUND = np.concatenate((syllables_at(4.0, 8.0, 110.0), syllables_at(3.0, 8.0, 215.0))) + white_noise(SECONDS * SAMPLE_RATE_HZ, 0.001)


def audio(first_chunk: int, last_chunk: int, sound: Float32Array = SOUND) -> list[Payload]:
    """Chunks of 100 ms."""
    return [AudioDenoised(at * CHUNK, pcm_s16le_from_float32(sound[at * CHUNK : (at + 1) * CHUNK])) for at in range(first_chunk, last_chunk)]


def conversation(config: SessionConfig) -> list[Payload]:
    """Three utterances: the first's end is announced late and the wishes change in it; the last is of one sample."""
    changed = SessionConfig(attributes=("gender", "pitch_hz", "samples"), interim_results=config.interim_results, stages=config.stages)
    return [
        SessionOpened(config),
        *audio(0, 10),
        UtteranceStarted("u1", 8 * CHUNK),
        *audio(10, 40),
        SessionConfigured(changed),
        *audio(40, 60),
        UtteranceEnded("u1", 8 * CHUNK, 55 * CHUNK + 77),
        *audio(60, 91),
        UtteranceStarted("u2", 89 * CHUNK - 5),
        *audio(91, 136),
        FinalizeRequested(1),
        UtteranceEnded("u2", 89 * CHUNK - 5, 136 * CHUNK, "finalize"),
        *audio(136, 150),
        UtteranceStarted("u3", 149 * CHUNK),
        UtteranceEnded("u3", 149 * CHUNK, 149 * CHUNK + 1),
        *audio(150, 160),
        SessionEnded("closed", 16.0),
    ]


def payloads(events: Iterable[Event], session_id: str = "s") -> list[Payload]:
    return [event.payload for event in events if event.session_id == session_id]


def run(parts: Sequence[Payload], stage: Stage | None = None) -> list[Payload]:
    """Record by record."""
    stage = stage or AcousticStage(EngineSlot("classify", CountingClassifier()), interim_every_ms=2000)
    return payloads(result for part in parts for result in stage.process([Event("s", part)]))


def durable(results: Iterable[Payload]) -> list[Payload]:
    return [result for result in results if result.is_durable]


def classified(results: Iterable[Payload], *, is_final: bool) -> list[SegmentClassified]:
    return [result for result in results if isinstance(result, SegmentClassified) and result.is_final == is_final]


def restarted_at_random(make: Callable[[], Stage], parts: Sequence[Payload], seed: int) -> tuple[dict[str, list[Payload]], int]:
    """Two sessions' durable results from random batches, with new stages restored from snapshots, and how often that happened."""
    choose = random.Random(seed)
    stage, restored = make(), 0
    queues = {name: list(parts) for name in "ab"}
    results: list[Event] = []
    while any(queues.values()):
        batch = []
        for _ in range(choose.randint(1, 25)):
            waiting = [name for name, queue in queues.items() if queue]
            if not waiting:
                break
            name = choose.choice(waiting)
            batch.append(Event(name, queues[name].pop(0)))
        results += stage.process(batch)
        saved = {name: state for name in "ab" if (state := stage.snapshot(name)) is not None}
        if len(saved) == 2:
            stage, restored = make(), restored + 1
            for name, state in saved.items():
                stage.restore(name, state)
    return {name: durable(payloads(results, name)) for name in "ab"}, restored


def test_each_utterance_gets_one_final_of_exactly_its_samples_and_the_session_is_finished() -> None:
    results = durable(run(conversation(SessionConfig())))
    first, second, third = classified(results, is_final=True)
    assert (first.utterance_id, first.start_s, first.end_s) == ("u1", 0.8, round((55 * CHUNK + 77) / SAMPLE_RATE_HZ, 6))
    assert first.attributes[0].value == 47 * CHUNK + 77
    expected = np.rint(SOUND[8 * CHUNK : 55 * CHUNK + 77] * 32768.0) / 32768.0
    assert first.attributes[1].value == pytest.approx(float(expected.sum()), abs=1e-3)
    assert first.engine.name == "counting"
    assert (second.utterance_id, second.end_s, second.attributes[0].value) == ("u2", 13.6, 47 * CHUNK + 5)
    assert (third.utterance_id, third.attributes[0].value) == ("u3", 1)
    assert results[-1] == StageFinished("classify", 3, 16.0)
    assert len(results) == 4


def test_only_wanted_attributes_and_unknown_names_are_ignored() -> None:
    first, second, _ = classified(run(conversation(SessionConfig(attributes=("sum", "charisma")))), is_final=True)
    assert [attribute.name for attribute in first.attributes] == ["sum"]  # in force when it was announced
    assert [attribute.name for attribute in second.attributes] == ["samples"]


def test_a_session_that_wants_only_unknown_names_still_gets_its_finals() -> None:
    parts = [SessionOpened(SessionConfig(attributes=("charisma",))), UtteranceStarted("u1", 0), *audio(0, 10), UtteranceEnded("u1", 0, 9 * CHUNK)]
    (final,) = classified(run(parts), is_final=True)
    assert final.attributes == ()


def test_interims_every_two_seconds_tell_of_the_newest_four_and_the_final_comes_last() -> None:
    results = run(conversation(SessionConfig()))
    for final in classified(results, is_final=True):
        revisions = [interim.revision for interim in classified(results, is_final=False) if interim.utterance_id == final.utterance_id]
        assert revisions == sorted(set(revisions))
        assert all(revision < final.revision for revision in revisions)
    first = [interim for interim in classified(results, is_final=False) if interim.utterance_id == "u1"]
    assert [interim.revision for interim in first] == [1, 2]
    assert [round(interim.end_s - interim.start_s, 3) for interim in first] == [2.0, 4.0]


def test_no_interims_where_they_are_not_wanted_and_the_same_finals() -> None:
    results = run(conversation(SessionConfig(interim_results=False)))
    assert classified(results, is_final=False) == []
    assert durable(results) == durable(run(conversation(SessionConfig())))


def test_no_interims_where_the_service_gives_none_and_the_same_finals() -> None:
    results = run(conversation(SessionConfig()), AcousticStage(EngineSlot("classify", CountingClassifier())))
    assert results == durable(run(conversation(SessionConfig())))


def test_a_session_that_did_not_ask_is_ignored() -> None:
    assert run(conversation(SessionConfig(stages=("denoise", "transcribe")))) == []


def test_records_of_an_unknown_or_ended_session_are_ignored() -> None:
    parts = conversation(SessionConfig())
    assert run(parts[1:]) == []
    assert run([*parts, *parts[1:]]) == run(parts)


def test_all_that_is_due_goes_to_the_engine_in_one_call() -> None:
    classifier = CountingClassifier()
    stage = AcousticStage(EngineSlot("classify", classifier))
    list(stage.process([Event(session, part) for part in conversation(SessionConfig()) for session in "abc"]))
    assert classifier.calls == [9]


def test_an_utterance_without_end_takes_bounded_memory() -> None:
    stage = AcousticStage(EngineSlot("classify", CountingClassifier()))
    second = pcm_s16le_from_float32(np.full(SAMPLE_RATE_HZ, 0.25, dtype=np.float32))
    parts: list[Payload] = [SessionOpened(SessionConfig()), UtteranceStarted("u1", 0)]
    parts += [AudioDenoised(at * SAMPLE_RATE_HZ, second) for at in range(70)]
    (final,) = classified(run([*parts, UtteranceEnded("u1", 0, 70 * SAMPLE_RATE_HZ)], stage), is_final=True)
    assert final.attributes[0].value == LONGEST_SAMPLES
    assert final.end_s == 70.0


@pytest.mark.parametrize("classifier", [CountingClassifier(), SignalClassifier()], ids=["counting", "dsp"])
@pytest.mark.parametrize("seed", range(4))
def test_durable_results_depend_on_the_session_alone(seed: int, classifier: AcousticClassifier) -> None:
    parts = conversation(SessionConfig())
    make = partial(AcousticStage, EngineSlot("classify", classifier), interim_every_ms=2000)
    expected = durable(run(parts, make()))
    assert len(expected) == 4
    assert durable(payloads(make().process([Event("s", part) for part in parts]))) == expected
    results, restored = restarted_at_random(make, parts, seed)
    assert results == {"a": expected, "b": expected}
    assert restored > 0


def test_a_snapshot_is_none_in_mid_utterance_and_small_between() -> None:
    stage = AcousticStage(EngineSlot("classify", CountingClassifier()))
    assert stage.snapshot("s") is None
    parts = conversation(SessionConfig())
    run(parts[:20], stage)
    assert stage.snapshot("s") is None
    run(parts[20:70], stage)
    state = stage.snapshot("s")
    assert state is not None
    assert len(state) < 33_000


def test_a_forgotten_session_is_gone() -> None:
    stage = AcousticStage(EngineSlot("classify", CountingClassifier()))
    parts = conversation(SessionConfig())
    run(parts[:20], stage)
    stage.forget("s")
    assert run(parts[20:], stage) == []


# --- words -----------------------------------------------------------------------------------------------------------------


class LengthClassifier:
    """A ``TextClassifier`` that counts letters."""

    engine = Engine("length", "1", "none")
    names = ("letters",)

    def __init__(self) -> None:
        self.calls: list[int] = []

    def classify(self, texts: Sequence[TranscribedText]) -> list[tuple[Attribute, ...]]:
        self.calls.append(len(texts))
        return [(Attribute("letters", float(len(text.text)), 0.5),) if text.text else () for text in texts]


def said(utterance: int, text: str, *, is_final: bool = True, revision: int = 7) -> SegmentTranscribed:
    words = tuple(Word(word, number / 2, number / 2 + 0.4, 0.9) for number, word in enumerate(text.split()))
    return SegmentTranscribed(f"u{utterance}", revision, is_final, float(utterance), utterance + 0.5, text, 0.9, words, "en")


TRANSCRIPT: list[Payload] = [
    said(1, "good", is_final=False, revision=3),
    said(1, "good morning"),
    said(2, ""),
    said(3, "this is terrible", is_final=False),
    said(3, "this is terrible service"),
    StageFinished("transcribe", 3, 12.5),
]


def test_every_final_text_gets_one_final_and_the_end_is_passed_on() -> None:
    results = run(TRANSCRIPT, TextStage(EngineSlot("classify", LengthClassifier())))
    first, second, third = classified(results, is_final=True)
    assert (first.utterance_id, first.revision, first.start_s, first.end_s) == ("u1", 7, 1.0, 1.5)
    assert first.attributes == (Attribute("letters", 12.0, 0.5),)
    assert first.engine.name == "length"
    assert second.attributes == ()
    assert third.utterance_id == "u3"
    assert results[3:] == [StageFinished("classify.text", 3, 12.5)]


def test_a_session_in_which_nobody_spoke_is_finished_too() -> None:
    assert run([StageFinished("transcribe", 0, 3.0)], TextStage(EngineSlot("classify", LengthClassifier()))) == [
        StageFinished("classify.text", 0, 3.0)
    ]


def test_texts_of_all_sessions_go_to_the_engine_in_one_call() -> None:
    classifier = LengthClassifier()
    list(TextStage(EngineSlot("classify", classifier)).process([Event(session, part) for part in TRANSCRIPT for session in "abc"]))
    assert classifier.calls == [9]


@pytest.mark.parametrize("seed", range(8))
def test_durable_results_of_texts_depend_on_the_session_alone(seed: int) -> None:
    expected = durable(run(TRANSCRIPT, TextStage(EngineSlot("classify", LengthClassifier()))))
    results, _ = restarted_at_random(lambda: TextStage(EngineSlot("classify", LengthClassifier())), TRANSCRIPT, seed)
    assert results == {"a": expected, "b": expected}


def test_the_count_of_texts_survives_a_restart() -> None:
    stage = TextStage(EngineSlot("classify", LengthClassifier()))
    assert stage.snapshot("s") is None
    run(TRANSCRIPT[:3], stage)
    state = stage.snapshot("s")
    assert state is not None
    again = TextStage(EngineSlot("classify", LengthClassifier()))
    again.restore("s", state)
    assert run(TRANSCRIPT[3:], again)[-1] == StageFinished("classify.text", 3, 12.5)
    assert again.snapshot("s") is None


def test_a_forgotten_session_of_texts_is_counted_anew() -> None:
    stage = TextStage(EngineSlot("classify", LengthClassifier()))
    run(TRANSCRIPT[:3], stage)
    stage.forget("s")
    assert stage.snapshot("s") is None
