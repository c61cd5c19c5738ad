"""Text that is never taken back, whatever the hypotheses do; and turns, whatever the order of commits and results."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.protocols.openai.stable import StableText, covered
from services.gateway.protocols.openai.turns import BUFFER, TRANSCRIPTION, Turns
from services.gateway.sessions.updates import Final, Finalized, Interim, NothingSaid, SpeechEnded, SpeechStarted, Update
from voxrelay.events import SegmentTranscribed
from voxrelay.join import JoinedUtterance, JoinedWord

WORDS = st.lists(st.sampled_from(["a", "b", "c", "the"]), max_size=6)


@given(agreeing=st.integers(0, 4), interims=st.lists(WORDS, max_size=12), final=WORDS)
def test_what_was_told_stays_and_only_grows(agreeing: int, interims: list[list[str]], final: list[str]) -> None:
    stable = StableText(agreeing)
    told: list[str] = []
    for words in interims:
        told += stable.hear(words)
        assert stable.told == told
    told += stable.end(final)
    assert stable.told == told
    if not agreeing:
        assert told == final


@given(agreeing=st.integers(1, 4), final=WORDS, lengths=st.lists(st.integers(0, 6), max_size=12))
def test_hypotheses_that_only_grow_give_the_final_itself(agreeing: int, final: list[str], lengths: list[int]) -> None:
    stable = StableText(agreeing)
    for length in sorted(lengths):
        stable.hear(final[:length])
    stable.end(final)
    assert stable.told == final


def test_a_word_is_told_when_it_has_stood_in_so_many_hypotheses_running() -> None:
    stable = StableText(3)
    assert [stable.hear(text.split()) for text in ("one", "one to", "one too many")] == [[], [], ["one"]]
    assert stable.hear(["one", "two"]) == []
    assert stable.hear(["won", "two"]) == []
    assert stable.end(["won", "two", "three"]) == ["two", "three"]
    assert stable.told == ["one", "two", "three"]


def test_where_hypotheses_disagree_with_what_was_told_the_final_says_how_it_goes_on() -> None:
    stable = StableText(2)
    heard = ("the cat", "the cat", "a black cat sat", "a black cat sat", "a black cat sat")
    assert [stable.hear(text.split()) for text in heard] == [[], ["the", "cat"], [], [], []]
    assert stable.end(["the", "black", "cat", "sat", "down"]) == ["sat", "down"]


@pytest.mark.parametrize(
    ("told", "final", "stood_for"),
    [("", "a b", 0), ("a b", "a b c", 2), ("a b", "a c d", 2), ("a b", "b", 1), ("a", "", 0), ("the cat", "the black cat sat", 3)],
)
def test_the_beginning_that_was_told_is_found_in_the_final(told: str, final: str, stood_for: int) -> None:
    assert covered(told.split(), final.split()) == stood_for


# --- turns ------------------------------------------------------------------------------------------------------------------------


def said(utterance_id: str, words: list[str]) -> Final:
    heard = tuple(JoinedWord(word, 0.0, 1.0, 0.5, "S1") for word in words)
    return Final(JoinedUtterance(utterance_id, 0.0, 1.0, " ".join(words), 0.5, "en", "S1", heard, (), ()), "pause")


def heard(utterance_id: str, words: list[str]) -> Interim:
    return Interim(SegmentTranscribed(utterance_id, 1, False, 0.0, 1.0, " ".join(words), 0.5))


class Platform:
    """What a session's services would say to a client that commits, clears and changes its mind at any time."""

    def __init__(self, agreeing: int) -> None:
        numbers = count(1)
        self.turns = Turns(lambda: f"item{next(numbers)}")
        self.turns.agreeing, self.turns.has_logprobs = agreeing, True
        self.events: list[dict[str, Any]] = []
        self.finals: list[list[str]] = []
        self._waiting: list[Update] = []  # results come later, and in order
        self._asked: list[int] = []  # finalizes the services have not seen yet
        self._ordinal = self._seen = self._count = 0
        self._open = ""

    @property
    def utterance_id(self) -> str:
        return f"u{self._count}"

    def start(self) -> None:
        if not self._open:
            self._count += 1
            self._open = f"u{self._count}"
            self.tell(SpeechStarted(self._open, 0.0, self._seen))

    def interim(self, words: list[str]) -> None:
        if self._open and words:
            self.tell(heard(self._open, words))

    def end(self, words: list[str], reason: Any = "pause") -> None:
        if self._open:
            self.tell(SpeechEnded(self._open, 1.0, reason))
            self._waiting.append(said(self._open, words) if words else NothingSaid(self._open, 1.0))
            self.finals.append(words)
            self._open = ""

    def commit(self) -> None:
        self._ordinal += 1
        self._asked.append(self._ordinal)
        self.events += self.turns.commit(self._ordinal, 0.0, 1.0)

    def clear(self) -> None:
        self._ordinal += 1
        self._asked.append(self._ordinal)
        self.events += self.turns.clear(self._ordinal)

    def see(self, words: list[str]) -> None:
        """The services come to the oldest finalize."""
        if self._asked:
            self.end(words, "finalize")
            self._seen = self._asked.pop(0)
            self._waiting.append(Finalized(self._seen))

    def deliver(self) -> None:
        if self._waiting:
            self.tell(self._waiting.pop(0))

    def switch(self) -> None:
        self.turns.is_detecting = not self.turns.is_detecting

    def finish(self) -> None:
        self.end(["a"])
        while self._asked:
            self.see([])
        while self._waiting:
            self.deliver()

    def tell(self, update: Update) -> None:
        self.events += self.turns.update(update)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["start", "commit", "clear", "deliver", "deliver", "switch"])),
        st.tuples(st.sampled_from(["interim", "interim", "end", "see"]), WORDS),
    ),
    max_size=40,
)


@pytest.mark.conformance("openai", "realtime deltas are append-only", "done", "together they are the transcript, whatever is revised")
@given(agreeing=st.integers(0, 3), steps=STEPS)
def test_deltas_are_the_transcript_and_every_commit_completes_once(agreeing: int, steps: list[tuple[Any, ...]]) -> None:
    platform = Platform(agreeing)
    for name, *arguments in steps:
        getattr(platform, name)(*arguments)
    platform.finish()
    deltas: dict[str, str] = defaultdict(str)
    completed: dict[str, dict[str, Any]] = {}
    committed: list[str] = []
    for event in platform.events:
        kind = event["type"]
        if kind == f"{TRANSCRIPTION}.delta":
            assert event["item_id"] not in completed
            assert event["delta"]
            deltas[event["item_id"]] += event["delta"]
        elif kind == f"{TRANSCRIPTION}.completed":
            assert event["item_id"] not in completed
            assert event["item_id"] in committed
            completed[event["item_id"]] = event
        elif kind == f"{BUFFER}.committed":
            assert event["previous_item_id"] == (committed[-1] if committed else None)
            committed.append(event["item_id"])
    assert sorted(completed) == sorted(committed)
    for item_id, event in completed.items():
        assert event["transcript"] == deltas[item_id]
        assert "".join(entry["token"] for entry in event["logprobs"]) == event["transcript"]
    for kind in ("added", "done"):
        told = [event["item"]["id"] for event in platform.events if event["type"] == f"conversation.item.{kind}"]
        assert sorted(told) == sorted(committed)
    if not agreeing:
        spoken = [" ".join(words) for words in platform.finals if words]
        runs = {" ".join(spoken[start:end]) for start in range(len(spoken) + 1) for end in range(start, len(spoken) + 1)}
        assert {event["transcript"] for event in completed.values()} <= runs


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["start", "commit", "deliver", "switch"])),
            st.tuples(st.just("grow"), st.integers(1, 4)),
            st.tuples(st.sampled_from(["end", "see"]), st.just([])),
        ),
        max_size=40,
    )
)
def test_where_nothing_is_taken_back_the_transcripts_are_the_finals_in_order(steps: list[tuple[Any, ...]]) -> None:
    """Words are told as soon as they are heard, of utterances that overlap with the results of those before."""
    platform = Platform(1)
    for name, *arguments in steps:
        said_now = [f"{platform.utterance_id}.{index}" for index in range(4)]
        if name == "grow":
            platform.interim(said_now[: arguments[0]])
        else:
            getattr(platform, name)(*([said_now] if arguments else []))
    if not platform.turns.is_detecting:
        platform.commit()
    platform.end([f"{platform.utterance_id}.{index}" for index in range(4)])
    platform.finish()
    transcripts = [event["transcript"].split() for event in platform.events if event["type"] == f"{TRANSCRIPTION}.completed"]
    told = [word for transcript in transcripts for word in transcript]
    spoken = [word for words in platform.finals for word in words]
    assert len(told) == len(set(told))
    for transcript in transcripts:
        start = spoken.index(transcript[0]) if transcript else 0
        assert transcript == spoken[start : start + len(transcript)]


def test_an_utterance_is_not_told_before_the_one_in_front_of_it() -> None:
    platform = Platform(1)
    platform.switch()
    platform.start()
    platform.end(["one"])
    platform.start()
    platform.interim(["two"])  # the final of the first is still on its way
    platform.commit()
    platform.see(["two"])
    platform.finish()
    assert [event["transcript"] for event in platform.events if event["type"].endswith(".completed")] == ["one two"]


def test_an_utterance_before_a_commit_belongs_to_it_though_it_is_noticed_later() -> None:
    platform = Platform(0)
    platform.switch()
    platform.commit()
    platform.start()  # the services have not come to the commit
    platform.see(["one"])
    platform.commit()
    platform.start()
    platform.see(["two"])
    platform.finish()
    assert [event["transcript"] for event in platform.events if event["type"].endswith(".completed")] == ["one", "two"]


def test_an_utterance_behind_a_commit_belongs_to_the_next_one() -> None:
    platform = Platform(0)
    platform.switch()
    platform.start()
    platform.commit()
    platform.see(["one"])
    platform.start()  # begins before the commit's results are there
    platform.commit()
    platform.see(["two"])
    platform.finish()
    assert [event["transcript"] for event in platform.events if event["type"].endswith(".completed")] == ["one", "two"]


def test_a_commit_cuts_who_speaks_and_is_an_empty_item_where_nobody_does() -> None:
    platform = Platform(0)
    platform.start()
    platform.commit()
    platform.see(["one"])
    platform.commit()
    platform.finish()
    assert [event["transcript"] for event in platform.events if event["type"].endswith(".completed")] == ["one", ""]


def test_what_is_cleared_is_not_told() -> None:
    platform = Platform(1)
    platform.start()
    platform.end(["kept"])  # committed by its pause
    platform.start()
    platform.clear()
    platform.see(["dropped"])
    platform.start()
    platform.end(["after"])
    platform.finish()
    assert [event["transcript"] for event in platform.events if event["type"].endswith(".completed")] == ["kept", "after"]


@pytest.mark.conformance("openai", "event conversation.item.input_audio_transcription.failed", "done")
def test_what_was_committed_fails_when_no_results_come() -> None:
    platform = Platform(0)
    platform.start()
    platform.end(["one"])
    platform.start()
    failed = list(platform.turns.fail({"message": "m"}))
    assert [(event["type"], event["error"]) for event in failed] == [(f"{TRANSCRIPTION}.failed", {"message": "m"})]


def test_a_word_that_the_final_took_back_is_the_least_sure() -> None:
    platform = Platform(1)
    platform.start()
    platform.interim(["one", "tow"])
    platform.end(["one", "two", "three"])
    platform.finish()
    completed = next(event for event in platform.events if event["type"].endswith(".completed"))
    assert completed["transcript"] == "one tow three"
    assert [entry["logprob"] for entry in completed["logprobs"]] == pytest.approx([-0.6931, -7.6009, -0.6931], abs=1e-4)
