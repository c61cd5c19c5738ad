"""The stage with scripted voices: who is told when, and that batches, restarts and other sessions change none of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from services.diarize.clustering import ClusterRules
from services.diarize.speakers import Memory
from services.diarize.stage import DiarizeStage
from tests.unit.diarize.scripted import ScriptedEmbedder, conversation
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.events import Event, Payload, SegmentDiarized, SessionConfig, StageFinished, UtteranceEnded
from voxrelay.models.slot import EngineSlot

TALK = [[(1, 3.0)], [(2, 4.0)], [(1, 0.5)], [(2, 3.0), (1, 3.0)], [(3, 0.9)], [(1, 2.0)], [(3, 4.0)], [(2, 1.3), (3, 2.5)]]


def payloads(events: Iterable[Event], session_id: str = "s") -> list[Payload]:
    return [event.payload for event in events if event.session_id == session_id]


def stage_of(embedder: ScriptedEmbedder, memory: Memory | None = None) -> DiarizeStage:
    return DiarizeStage(EngineSlot("diarize", embedder), rules=lambda _: ClusterRules(0.5, 0.4, 2 * SAMPLE_RATE_HZ), memory=memory)


def run(parts: Sequence[Payload], memory: Memory | None = None) -> list[Payload]:
    stage = stage_of(ScriptedEmbedder(), memory)
    return payloads(result for part in parts for result in stage.process([Event("s", part)]))


def durable(results: Iterable[Payload]) -> list[Payload]:
    return [result for result in results if result.is_durable]


def finals(results: Iterable[Payload]) -> list[SegmentDiarized]:
    return [result for result in results if isinstance(result, SegmentDiarized) and result.is_final]


def interims(results: Iterable[Payload]) -> list[SegmentDiarized]:
    return [result for result in results if isinstance(result, SegmentDiarized) and not result.is_final]


def first_finals(results: Iterable[Payload]) -> list[SegmentDiarized]:
    first: dict[str, SegmentDiarized] = {}
    for final in finals(results):
        first.setdefault(final.utterance_id, final)
    return list(first.values())


def latest(results: Iterable[Payload]) -> dict[str, list[str]]:
    """The speakers of each utterance as they stand at the end."""
    return {final.utterance_id: [segment.speaker for segment in final.segments] for final in finals(results)}


def test_every_utterance_gets_its_speakers_and_the_session_is_finished() -> None:
    results = run(conversation(TALK, SessionConfig()))
    assert latest(results) == {
        "u1": ["S1"],
        "u2": ["S2"],
        "u3": ["S1"],
        "u4": ["S2", "S1"],
        "u5": ["S3"],
        "u6": ["S1"],
        "u7": ["S3"],
        "u8": ["S2", "S3"],
    }
    assert [final.utterance_id for final in first_finals(results)] == [f"u{number}" for number in range(1, 9)]
    assert isinstance(results[-1], StageFinished)
    assert (results[-1].stage, results[-1].utterances) == ("diarize", 8)
    assert finals(results)[0].engine.name == "scripted"


def test_segments_lie_in_the_utterance_in_order_and_change_where_the_speaker_does() -> None:
    parts = conversation(TALK, SessionConfig())
    ends = {part.utterance_id: part for part in parts if isinstance(part, UtteranceEnded)}
    for final in finals(run(parts)):
        ended = ends[final.utterance_id]
        assert (final.start_s, final.end_s) == (ended.start_sample / SAMPLE_RATE_HZ, ended.end_sample / SAMPLE_RATE_HZ)
        assert final.segments[0].start_s == final.start_s
        assert final.segments[-1].end_s == final.end_s
        assert all(one.end_s == other.start_s for one, other in pairwise(final.segments))
        assert all(0.0 <= segment.confidence <= 1.0 for segment in final.segments)
        if final.utterance_id == "u4":
            assert abs(final.segments[0].end_s - final.start_s - 3.0) <= 0.4


def test_a_pause_inside_an_utterance_belongs_to_nobody() -> None:
    final = finals(run(conversation([[(0, 0.5), (1, 2.0), (0, 1.0), (1, 2.0), (0, 0.4)]], SessionConfig())))[0]
    found = [(round(segment.start_s - final.start_s, 2), round(segment.end_s - final.start_s, 2)) for segment in final.segments]
    assert found == [(0.45, 2.55), (3.45, 5.55)]


def test_later_evidence_revises_earlier_results_with_a_higher_revision() -> None:
    results = run(conversation([[(1, 3.0)], [(3, 0.9)], [(3, 4.0)]], SessionConfig()))
    found = [(final.utterance_id, [segment.speaker for segment in final.segments]) for final in finals(results)]
    assert found == [("u1", ["S1"]), ("u2", ["S1"]), ("u3", ["S2"]), ("u2", ["S2"])]
    _, first, _, revised = finals(results)
    assert revised.revision == first.revision + 1
    assert (revised.start_s, revised.end_s) == (first.start_s, first.end_s)
    assert isinstance(results[-1], StageFinished)
    assert results[-1].utterances == 3


def test_what_is_settled_is_revised_no_more_and_its_speaker_known_all_the_same() -> None:
    script = [[(1, 3.0)], [(3, 0.9)], [(1, 3.0)], [(3, 4.0)], [(1, 3.0)], [(3, 3.0)]]
    results = run(conversation(script, SessionConfig()), Memory(windows=300, utterances=1))
    found = [(final.utterance_id, [segment.speaker for segment in final.segments]) for final in finals(results)]
    assert found == [("u1", ["S1"]), ("u2", ["S1"]), ("u3", ["S1"]), ("u4", ["S2"]), ("u5", ["S1"]), ("u6", ["S2"])]


def test_never_more_speakers_than_the_session_says() -> None:
    for most in (1, 2):
        found = finals(run(conversation(TALK, SessionConfig(num_speakers=most))))
        speakers = {segment.speaker for final in found for segment in final.segments}
        assert speakers == {f"S{number}" for number in range(1, most + 1)}


def test_another_number_of_speakers_is_in_force_from_the_utterances_that_end_after_it() -> None:
    script = [[(1, 3.0)], [(2, 3.0)], [(3, 3.0)], [(1, 3.0)], [(2, 3.0)]]
    results = run(conversation(script, SessionConfig(num_speakers=1), {2: SessionConfig(), 4: SessionConfig(num_speakers=2)}))
    firsts = {final.utterance_id: final.segments[0].speaker for final in first_finals(results)}
    assert firsts == {"u1": "S1", "u2": "S1", "u3": "S3", "u4": "S1", "u5": "S2"}
    assert latest(results)["u2"] == ["S2"]
    assert {speaker for speakers in latest(results).values() for speaker in speakers} == {"S1", "S2"}


def test_interims_come_about_every_second_and_every_final_has_a_higher_revision() -> None:
    results = run(conversation(TALK, SessionConfig()))
    for final in finals(results):
        revisions = [interim.revision for interim in interims(results) if interim.utterance_id == final.utterance_id]
        assert revisions == sorted(set(revisions))
        assert all(revision < final.revision for revision in revisions)
    second = [interim for interim in interims(results) if interim.utterance_id == "u2"]
    assert [interim.revision for interim in second] == [1, 2, 3, 4]
    assert {segment.speaker for interim in second for segment in interim.segments} == {"S2"}
    assert all(segment.end_s <= interim.end_s for interim in second for segment in interim.segments)


def test_no_interims_where_they_are_not_wanted() -> None:
    results = run(conversation(TALK, SessionConfig(interim_results=False)))
    assert interims(results) == []
    assert durable(results) == durable(run(conversation(TALK, SessionConfig())))


def test_an_utterance_without_audio_gets_an_empty_final() -> None:
    parts = conversation([[(1, 3.0)], [(1, 3.0)]], SessionConfig())
    at = next(number for number, part in enumerate(parts) if isinstance(part, UtteranceEnded))
    ended = parts[at]
    assert isinstance(ended, UtteranceEnded)
    parts[at] = UtteranceEnded("u1", ended.start_sample, ended.start_sample)
    first, second = finals(run(parts))
    assert first.segments == ()
    assert second.segments[0].speaker == "S1"


@pytest.mark.parametrize("length_s", [0.3, 1.0])
def test_what_lies_behind_the_end_of_an_utterance_does_not_matter(length_s: float) -> None:
    """Its end is announced after windows that reach beyond it went to the embedder, here into another voice."""
    parts = conversation([[(1, 3.0)], [(2, 3.0)], [(1, length_s), (2, 2.0)], [(2, 3.0)]], SessionConfig())
    at, ended = next((n, part) for n, part in enumerate(parts) if isinstance(part, UtteranceEnded) and part.utterance_id == "u3")
    parts[at] = UtteranceEnded("u3", ended.start_sample, ended.start_sample + round(length_s * SAMPLE_RATE_HZ))
    one_by_one = run(parts)
    assert [interim for interim in interims(one_by_one) if interim.utterance_id == "u3"]
    assert latest(one_by_one)["u3"] == ["S1"]
    at_once = payloads(stage_of(ScriptedEmbedder()).process([Event("s", part) for part in parts]))
    assert durable(one_by_one) == durable(at_once)


def test_a_session_that_did_not_ask_is_ignored() -> None:
    assert run(conversation(TALK, SessionConfig(stages=("denoise", "transcribe")))) == []


def test_records_of_an_unknown_or_ended_session_are_ignored() -> None:
    parts = conversation(TALK, SessionConfig())
    assert run(parts[1:]) == []
    assert run([*parts, *parts[1:]]) == run(parts)


def test_all_that_is_due_goes_to_the_embedder_in_one_call() -> None:
    embedder = ScriptedEmbedder()
    parts = conversation([[(1, 3.0)], [(2, 0.5)]], SessionConfig())
    list(stage_of(embedder).process([Event(session, part) for part in parts for session in "abc"]))
    assert len(embedder.calls) == 1
    assert embedder.calls[0] == 3 * (7 + 1)


@pytest.mark.parametrize("seed", range(8))
def test_durable_results_depend_on_the_session_alone(seed: int) -> None:
    memory = Memory(windows=20, utterances=3)
    changes = {5: SessionConfig(num_speakers=2)}
    expected = durable(run(conversation(TALK, SessionConfig(), changes), memory))
    assert len(finals(expected)) > len(TALK)
    whole = payloads(stage_of(ScriptedEmbedder(), memory).process([Event("s", part) for part in conversation(TALK, SessionConfig(), changes)]))
    assert durable(whole) == expected
    choose = random.Random(seed)
    stage = stage_of(ScriptedEmbedder(), memory)
    queues = {name: list(conversation(TALK, SessionConfig(interim_results=name != "b"), changes)) for name in "ab"}
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
        if choose.random() < 0.8 and all(saved.values()):
            stage = stage_of(ScriptedEmbedder(), memory)
            restored += 1
            for name, state in saved.items():
                assert state is not None
                stage.restore(name, state)
    assert restored > 0
    assert durable(payloads(results, "a")) == expected
    assert durable(payloads(results, "b")) == expected


@pytest.mark.parametrize("memory", [Memory(), Memory(windows=20, utterances=3)])
def test_a_snapshot_is_none_in_mid_utterance_and_gives_the_same_snapshot_again(memory: Memory) -> None:
    stage = stage_of(ScriptedEmbedder(), memory)
    parts = conversation(TALK, SessionConfig(num_speakers=4))
    assert stage.snapshot("s") is None
    list(stage.process([Event("s", part) for part in parts[:10]]))
    assert stage.snapshot("s") is None
    list(stage.process([Event("s", part) for part in parts[10:-1]]))
    state = stage.snapshot("s")
    assert state is not None
    again = stage_of(ScriptedEmbedder(), memory)
    again.restore("s", state)
    assert again.snapshot("s") == state


def test_a_forgotten_session_is_gone() -> None:
    stage = stage_of(ScriptedEmbedder())
    parts = conversation(TALK, SessionConfig())
    list(stage.process([Event("s", part) for part in parts[:15]]))
    stage.forget("s")
    assert list(stage.process([Event("s", part) for part in parts[15:]])) == []
