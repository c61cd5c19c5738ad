"""Turns out of utterances, without sockets: what is told when, from updates and passing time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.protocols.deepgram.turns import Thresholds, TurnInfo, Turns, confidence_of, silence_of
from services.gateway.sessions.updates import Closed, Final, Finalized, Interim, SpeechEnded, SpeechStarted
from services.gateway.wording.wording import Wording, text_of
from voxrelay.events import SegmentTranscribed, Word
from voxrelay.join import JoinedUtterance, JoinedWord


class Stream:
    """Utterances as a gateway tells them, a second each; ``log`` is what Flux's client would see."""

    def __init__(self, **thresholds: float) -> None:
        self.turns = Turns(Thresholds(**thresholds), Wording(punctuate=True))  # type: ignore[arg-type]
        self.log: list[TurnInfo] = []
        self.now = 0.0

    def take(self, update: object) -> None:
        self.log += self.turns.take(update, self.now)  # type: ignore[arg-type]

    def start(self, name: str, at_s: float) -> None:
        self.take(SpeechStarted(name, at_s))

    def interim(self, name: str, at_s: float, text: str, *, is_timed: bool = True) -> None:
        words = tuple(Word(word, at_s, at_s + 0.5, 0.8) for word in text.split()) if is_timed else ()
        self.take(Interim(SegmentTranscribed(name, 1, False, at_s, at_s + 0.5, text, 0.8, words)))

    def end(self, name: str, at_s: float) -> None:
        self.take(SpeechEnded(name, at_s, "pause"))

    def final(self, name: str, at_s: float, text: str, reason: str = "pause") -> None:
        words = tuple(JoinedWord(word, at_s, at_s + 1, 0.9, "S1") for word in text.split())
        self.take(Final(JoinedUtterance(name, at_s, at_s + 1, text, 0.9, "en", "S1", words, (), ()), reason))

    def say(self, name: str, at_s: float, text: str, reason: str = "pause") -> None:
        self.start(name, at_s)
        self.interim(name, at_s, text)
        self.end(name, at_s + 1)
        self.final(name, at_s, text, reason)

    def silence(self, until_s: float) -> None:
        """Audio comes, and the wall clock with it."""
        while self.now < until_s + 2:
            self.now += 0.1
            self.log += self.turns.look(min(self.now, until_s), self.now)

    @property
    def told(self) -> list[tuple[str, int, str]]:
        return [(info.event, info.turn_index, text_of(info.words)) for info in self.log]


def test_without_eager_thresholds_an_utterance_is_a_turn() -> None:
    stream = Stream()
    stream.say("u1", 0.0, "hello there")
    stream.say("u2", 3.0, "how are you")
    assert stream.told == [
        ("StartOfTurn", 0, "Hello there"),
        ("EndOfTurn", 0, "Hello there."),
        ("StartOfTurn", 1, "How are you"),
        ("EndOfTurn", 1, "How are you?"),
    ]
    ended = stream.log[1]
    assert (ended.trigger, round(ended.confidence, 3), ended.start_s, ended.end_s) == ("model", 0.7, 0.0, 1.0)
    assert stream.log[0].confidence == 0.0
    assert stream.log[0].trigger == ""


def test_an_eager_end_that_silence_confirms() -> None:
    stream = Stream(eager=0.4, end=0.8)
    stream.say("u1", 0.0, "hello there")
    assert [info.event for info in stream.log] == ["StartOfTurn", "EagerEndOfTurn"]
    stream.silence(1.5)
    assert [info.event for info in stream.log] == ["StartOfTurn", "EagerEndOfTurn"]  # 0.67 s are asked for
    stream.silence(3.0)
    assert stream.told[1:] == [("EagerEndOfTurn", 0, "Hello there."), ("EndOfTurn", 0, "Hello there.")]
    assert [round(info.confidence, 3) for info in stream.log] == [0.0, 0.4, 0.8]


def test_an_eager_end_after_which_speech_goes_on() -> None:
    stream = Stream(eager=0.4, end=0.95)
    stream.say("u1", 0.0, "hello there")
    stream.say("u2", 1.5, "my friend")
    stream.silence(6.0)
    assert stream.told == [
        ("StartOfTurn", 0, "Hello there"),
        ("EagerEndOfTurn", 0, "Hello there."),
        ("TurnResumed", 0, "Hello there my friend"),
        ("EagerEndOfTurn", 0, "Hello there my friend."),
        ("EndOfTurn", 0, "Hello there my friend."),
    ]


def test_no_turn_ends_while_its_words_go_on() -> None:
    stream = Stream(eager=0.3, end=0.5)
    stream.say("u1", 0.0, "well")
    stream.start("u2", 1.2)
    stream.interim("u2", 1.2, "then")
    stream.silence(8.0)
    assert [info.event for info in stream.log] == ["StartOfTurn", "EagerEndOfTurn", "TurnResumed"]


def test_words_that_did_not_become_final_end_with_their_turn() -> None:
    stream = Stream()
    stream.start("u1", 0.0)
    stream.interim("u1", 0.0, "uh")
    stream.end("u1", 1.0)  # and its final has no words: nothing more is told of it
    stream.silence(20.0)
    assert stream.told == [("StartOfTurn", 0, "Uh"), ("EndOfTurn", 0, "")]


def test_a_threshold_of_one_leaves_it_to_the_timeout() -> None:
    stream = Stream(end=1.0, timeout_ms=8000)
    stream.say("u1", 0.0, "hello")
    stream.silence(8.0)
    assert stream.told == [("StartOfTurn", 0, "Hello"), ("Update", 0, "Hello")]
    stream.silence(11.0)
    assert (stream.log[-1].event, stream.log[-1].trigger) == ("EndOfTurn", "timeout")


def test_a_turn_that_is_forced_to_end() -> None:
    stream = Stream(eager=0.3)
    stream.say("u1", 0.0, "hello", "finalize")
    stream.take(Finalized(1))
    assert [(info.event, info.trigger) for info in stream.log] == [("StartOfTurn", ""), ("EndOfTurn", "manual")]
    stream.say("u2", 2.0, "again")
    stream.take(Finalized(2))
    assert (stream.log[-1].event, stream.log[-1].trigger, stream.log[-1].turn_index) == ("EndOfTurn", "manual", 1)


def test_the_end_of_the_stream_ends_the_turn() -> None:
    stream = Stream(eager=0.3)
    stream.say("u1", 0.0, "hello")
    stream.take(Closed(1.0))
    assert stream.log[-1].event == "EndOfTurn"


def test_an_utterance_that_was_only_too_long_goes_on() -> None:
    stream = Stream()
    stream.say("u1", 0.0, "and so", "length")
    stream.say("u2", 1.0, "on")
    assert stream.told[-1] == ("EndOfTurn", 0, "And so on.")


def test_new_thresholds_count_the_silence_that_goes_on() -> None:
    stream = Stream(end=1.0, timeout_ms=60_000, eager=0.3)
    stream.say("u1", 0.0, "hello")
    stream.silence(20.0)
    assert stream.log[-1].event == "EagerEndOfTurn"
    stream.turns.set_thresholds(Thresholds())
    stream.silence(22.0)
    assert stream.log[-1].event == "EndOfTurn"


def test_words_without_times_are_told_without() -> None:
    stream = Stream()
    stream.start("u1", 0.0)
    stream.interim("u1", 0.0, "hello you", is_timed=False)
    assert not stream.log[-1].are_timed
    assert [word.written for word in stream.log[-1].words] == ["Hello", "you"]


@pytest.mark.parametrize(("confidence", "silence_s"), [(0.7, 0.5), (0.5, 0.288), (0.9, 0.956)])
def test_confidence_is_silence(confidence: float, silence_s: float) -> None:
    assert silence_of(confidence) == pytest.approx(silence_s, abs=0.001)
    assert confidence_of(silence_s) == pytest.approx(confidence, abs=0.001)
    assert silence_of(1.0) == math.inf


STEP = st.tuples(st.sampled_from(["say", "interim only", "wordless", "silence", "force"]), st.sampled_from(["pause", "length", "finalize"]))


@given(st.lists(STEP, max_size=12), st.sampled_from([None, 0.3, 0.6]), st.sampled_from([0.6, 0.9, 1.0]))
def test_every_turn_has_one_start_and_one_end_in_order(steps: list[tuple[str, str]], eager: float | None, end: float) -> None:
    stream = Stream(end=end, **({"eager": eager} if eager is not None else {}))
    at_s = 0.0
    for place, (step, reason) in enumerate(steps):
        name = f"u{place}"
        if step == "say":
            stream.say(name, at_s, "some words", reason)
        elif step == "force":
            stream.take(Finalized(place))
        elif step == "silence":
            at_s += 8
            stream.silence(at_s)
        else:
            stream.start(name, at_s)
            if step == "interim only":
                stream.interim(name, at_s, "noise")
            stream.end(name, at_s + 1)
        at_s += 1.2
    stream.take(Closed(at_s))
    events = [(info.event, info.turn_index) for info in stream.log]
    by_turn: dict[int, list[str]] = {}
    for event, index in events:
        by_turn.setdefault(index, []).append(event)
    assert sorted(by_turn) == list(range(len(by_turn)))
    assert [index for _, index in events] == sorted(index for _, index in events)
    for told in by_turn.values():
        assert told[0] == "StartOfTurn"
        assert told[-1] == "EndOfTurn"
        assert told.count("StartOfTurn") == told.count("EndOfTurn") == 1
        for before, after in pairwise(told):
            assert after != "TurnResumed" or before == "EagerEndOfTurn"
            assert before != "EagerEndOfTurn" or after in ("TurnResumed", "EndOfTurn")
            assert eager is not None or "Eager" not in after


def test_words_after_a_long_silence_are_a_new_turn_even_if_nobody_looked() -> None:
    stream = Stream(eager=0.4, end=0.8)
    stream.say("u1", 0.0, "hello")
    stream.say("u2", 5.0, "again")
    assert [(event, index) for event, index, _ in stream.told] == [
        ("StartOfTurn", 0),
        ("EagerEndOfTurn", 0),
        ("EndOfTurn", 0),
        ("StartOfTurn", 1),
        ("EagerEndOfTurn", 1),
    ]
