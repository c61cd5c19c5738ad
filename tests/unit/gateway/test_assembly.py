"""Results in any order become finals in order; late ones never change a final."""

from __future__ import annotations

from dataclasses import replace

from services.gateway.sessions.assembly import Assembly
from services.gateway.sessions.updates import Closed, Final, Finalized, Interim, NothingSaid, Speakers, SpeechStarted, Update
from tests.stored import diarized, session, transcribed
from voxrelay.events import Event, FinalizeRequested, SessionConfig, StageFinished, UtteranceEnded, UtteranceStarted


def _push(assembly: Assembly, events: list[Event], now: float = 0.0) -> list[Update]:
    return [update for event in events for update in assembly.push(event, now)]


def _finals(updates: list[Update]) -> list[tuple[str, str, str]]:
    return [(u.utterance.utterance_id, u.utterance.text, u.utterance.speaker) for u in updates if isinstance(u, Final)]


EXPECTED = [("u1", "hello there general kenobi", "S1"), ("u2", "you are a bold one", "S2")]


def test_a_session_in_order() -> None:
    updates = _push(Assembly(SessionConfig(), 1.0), session("s"))
    assert _finals(updates) == EXPECTED
    assert isinstance(updates[-1], Closed)
    assert updates[-1].audio_seconds == 5.5
    assert sum(isinstance(update, SpeechStarted) for update in updates) == 2


def test_topics_at_different_speeds_and_repeats_give_the_same_finals() -> None:
    events = session("s")
    by_producer = sorted(events, key=lambda event: event.producer, reverse=True)  # transcripts first, boundaries later
    updates = _push(Assembly(SessionConfig(), 1.0), [*by_producer, *by_producer])
    assert _finals(updates) == EXPECTED
    assert sum(isinstance(update, Closed) for update in updates) == 1


def test_a_final_waits_so_long_and_then_goes_without() -> None:
    assembly = Assembly(SessionConfig(), 1.0)
    spoken = [event for event in session("s") if event.producer in ("denoise", "transcribe") and not isinstance(event.payload, StageFinished)]
    assert not _finals(_push(assembly, spoken, now=10.0))
    assert not list(assembly.due(10.9))
    assert [(update.utterance.utterance_id, update.utterance.speaker) for update in assembly.due(11.0) if isinstance(update, Final)] == [
        ("u1", ""),
        ("u2", ""),
    ]


def test_a_later_revision_of_the_speakers_is_chance_for_a_live_final_and_taken_for_a_file() -> None:
    events = session("s")
    place = next(n for n, event in enumerate(events) if event.producer == "diarize") + 1
    revised = replace(events[place - 1], payload=diarized("u1", 0.5, "S7", "S7", revision=9), sequence=99)
    events = [*events[:place], revised, *[replace(e, sequence=e.sequence + 100) if e.producer == "diarize" else e for e in events[place:]]]
    assert _finals(_push(Assembly(SessionConfig(), 1.0), events))[0][2] == "S1"
    assert _finals(_push(Assembly(SessionConfig(), 1.0, is_patient=True), events))[0][2] == "S7"


def test_a_patient_one_gives_everything_at_the_end() -> None:
    assembly = Assembly(SessionConfig(), 0.0, is_patient=True)
    events = session("s")
    assert not _finals(_push(assembly, events[:-1], now=100.0))
    assert _finals(_push(assembly, events[-1:])) == EXPECTED


def test_interims_come_with_rising_revisions_and_none_after_the_final() -> None:
    assembly = Assembly(SessionConfig(), 1.0)
    _push(assembly, session("s")[:2])
    said = [transcribed("u1", 0.5, "hel", 1, is_final=False), transcribed("u1", 0.5, "hello", 2, is_final=False)]
    updates = _push(assembly, [Event("s", payload, "transcribe") for payload in (said[0], said[1], said[0])])
    assert [update.result.text for update in updates if isinstance(update, Interim)] == ["hel", "hello"]
    _push(assembly, session("s")[2:4])
    assert not _push(assembly, [Event("s", transcribed("u1", 0.5, "late", 9, is_final=False), "transcribe")])


def test_finalized_comes_after_the_finals_before_it() -> None:
    assembly = Assembly(SessionConfig(stages=("denoise", "transcribe")), 1.0)
    events = [
        Event("s", UtteranceStarted("u1", 0), "denoise", 1),
        Event("s", UtteranceEnded("u1", 0, 16_000, "finalize"), "denoise", 2),
        Event("s", FinalizeRequested(1), "denoise", 3),
    ]
    assert not any(isinstance(update, Finalized) for update in _push(assembly, events))
    updates = _push(assembly, [Event("s", transcribed("u1", 0.0, "yes", 2), "transcribe", 1)])
    assert [type(update) for update in updates] == [Final, Finalized]


def test_what_starts_behind_a_finalize_says_so() -> None:
    events = [
        Event("s", UtteranceStarted("u1", 0), "denoise", 1),
        Event("s", FinalizeRequested(1), "denoise", 2),
        Event("s", UtteranceStarted("u2", 16_000), "denoise", 3),
    ]
    started = [update for update in _push(Assembly(SessionConfig(), 1.0), events) if isinstance(update, SpeechStarted)]
    assert [(update.utterance_id, update.finalizes) for update in started] == [("u1", 0), ("u2", 1)]


def test_an_empty_utterance_says_so_in_its_place() -> None:
    assembly = Assembly(SessionConfig(stages=("denoise", "transcribe")), 1.0)
    begun, ended = Event("s", UtteranceStarted("u1", 0), "denoise", 1), Event("s", UtteranceEnded("u1", 0, 16_000), "denoise", 2)
    empty = transcribed("u1", 0.0, "")
    assert NothingSaid("u1", empty.end_s) in _push(assembly, [begun, Event("s", empty, "transcribe", 1), ended])
    assert assembly.missing == ["denoise", "transcribe"]


def test_attributes_nobody_asked_for_are_left_out() -> None:
    def attributes(config: SessionConfig) -> list[str]:
        finals = [update for update in _push(Assembly(config, 1.0), session("s")) if isinstance(update, Final)]
        return [attribute.name for attribute in finals[0].utterance.attributes]

    assert attributes(SessionConfig()) == ["gender", "pitch_hz", "sentiment"]
    assert attributes(SessionConfig(attributes=("gender",))) == ["gender"]
    assert attributes(SessionConfig(stages=("denoise", "diarize", "transcribe"))) == []


def _speakers(updates: list[Update]) -> list[tuple[str, list[str], bool]]:
    return [(u.utterance_id, [segment.speaker for segment in u.segments], u.is_final) for u in updates if isinstance(u, Speakers)]


WHO_SPEAKS = SessionConfig(stages=("denoise", "diarize"))


def test_speakers_are_told_while_an_utterance_lasts_at_its_end_and_when_they_are_known_better() -> None:
    assembly = Assembly(WHO_SPEAKS, 1.0)
    said = [event for event in session("s") if event.producer in ("denoise", "diarize")]
    begun, ended = said[1], said[2]
    first = Event("s", replace(diarized("u1", 0.5, "S1"), is_final=False), "diarize")
    updates = _push(assembly, [begun, first, first, ended, *said[3:]])
    assert _speakers(updates) == [("u1", ["S1"], False), ("u1", ["S1", "S2"], True), ("u2", ["S2"], True)]
    assert isinstance(updates[-1], Closed)
    assert not _finals(updates)
    late = [Event("s", diarized("u1", 0.5, "S3", revision=revision), "diarize", 50 + revision) for revision in (4, 3)]
    assert _speakers(_push(assembly, late)) == [("u1", ["S3"], True)]


def test_speakers_that_overtake_their_utterance_are_told_once_and_still_complete_it() -> None:
    assembly = Assembly(WHO_SPEAKS, 1.0)
    early = Event("s", diarized("u1", 0.5, "S1"), "diarize", 1)
    assert _speakers(_push(assembly, [early, session("s")[1], session("s")[2]])) == [("u1", ["S1"], True)]
    requested = Event("s", FinalizeRequested(1), "denoise", 9)
    assert any(isinstance(update, Finalized) for update in _push(assembly, [requested]))


def test_speakers_change_no_final_and_a_patient_one_tells_none() -> None:
    assert _finals(_push(Assembly(SessionConfig(), 1.0), session("s"))) == EXPECTED
    assert len(_speakers(_push(Assembly(SessionConfig(), 1.0), session("s")))) == 2
    assert not _speakers(_push(Assembly(SessionConfig(), 1.0, is_patient=True), session("s")))


def test_a_final_says_why_its_utterance_ended_however_late_that_comes() -> None:
    events = [event for event in session("s") if event.producer in ("denoise", "transcribe") and not isinstance(event.payload, StageFinished)]
    boundaries = [replace(e, payload=replace(e.payload, reason="finalize")) for e in events if isinstance(e.payload, UtteranceEnded)]
    others = [event for event in events if not isinstance(event.payload, UtteranceEnded)]
    without_numbers = [replace(event, sequence=0) for event in (*others, *boundaries)]
    updates = _push(Assembly(SessionConfig(stages=("denoise", "transcribe")), 1.0), without_numbers)
    assert [update.end_reason for update in updates if isinstance(update, Final)] == ["finalize", "finalize"]
