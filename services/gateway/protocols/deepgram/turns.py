"""Turns out of utterances: Flux's StartOfTurn, Update, EagerEndOfTurn, TurnResumed and EndOfTurn. Pure: audio time and wall clock are passed in.

No engine here knows from the words whether somebody has finished. What is known is how long they have been silent; the confidence that a turn
is over is a function of that alone: 1 - exp(-silence / ``SILENCE_SCALE_S``). 0.7, the default threshold, is half a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from services.gateway.protocols.deepgram.gaps import Gap
from services.gateway.sessions.updates import Closed, Failed, Final, Finalized, Interim, SpeechEnded, SpeechStarted, Update
from services.gateway.wording.wording import Wording, WrittenWord, write
from voxrelay.join import JoinedWord

SILENCE_SCALE_S = 0.5 / -math.log(1 - 0.7)
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0  # that end an utterance
Event = Literal["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]
Trigger = Literal["", "model", "manual", "timeout"]


def silence_of(confidence: float) -> float:
    """Seconds of silence after which a turn is over with this confidence; infinite for 1."""
    return -SILENCE_SCALE_S * math.log(1 - confidence) if confidence < 1 else math.inf


def confidence_of(silence_s: float) -> float:
    return 1 - math.exp(-silence_s / SILENCE_SCALE_S)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """As the client sets them. ``eager`` None: no EagerEndOfTurn."""

    end: float = 0.7
    eager: float | None = None
    timeout_ms: int = 5000

    @property
    def end_s(self) -> float:
        """The silence that ends a turn."""
        return max(SHORTEST_PAUSE_S, min(silence_of(self.end), self.timeout_ms / 1000))

    @property
    def pause_s(self) -> float:
        """The silence that ends an utterance: where something is to be told."""
        eager_s = silence_of(self.eager) if self.eager is not None else self.end_s
        return max(SHORTEST_PAUSE_S, min(eager_s, self.end_s, LONGEST_PAUSE_S))

    @property
    def trigger(self) -> Trigger:
        return "model" if silence_of(self.end) <= self.timeout_ms / 1000 else "timeout"


@dataclass(frozen=True, slots=True)
class TurnInfo:
    """``words`` are all of the turn so far. ``trigger`` is set where it ends."""

    event: Event
    turn_index: int
    start_s: float
    end_s: float
    words: tuple[WrittenWord, ...]
    are_timed: bool
    confidence: float
    trigger: Trigger = ""


class Turns:
    """One stream's. Give it every update and, between them, ``look`` a few times a second."""

    def __init__(self, thresholds: Thresholds, wording: Wording) -> None:
        self.thresholds, self.wording = thresholds, wording
        self._gap = Gap(thresholds.end_s)
        self._index = 0
        self._said: list[JoinedWord] = []  # final
        self._saying: list[JoinedWord] = []  # of the utterance that goes on
        self._are_timed = True
        self._start_s = self._end_s = 0.0
        self._is_open = self._is_eager = False
        self._last_utterance = ""
        self._speaking: set[str] = set()  # utterances that have begun and not ended
        self._going_on = ""  # that of them whose words have been told

    def set_thresholds(self, thresholds: Thresholds) -> None:
        """In force at once: the silence that goes on counts."""
        self.thresholds = thresholds
        self._gap = Gap(thresholds.end_s)
        if self._said:
            self._gap.heard(self._last_utterance, (self._said[0].start_s, self._said[-1].end_s), self._end_s, is_final=True)

    def take(self, update: Update, now: float) -> Iterator[TurnInfo]:
        """What this update tells."""
        match update:
            case SpeechStarted(utterance_id, at_s):
                self._gap.started(utterance_id, at_s)
                self._speaking.add(utterance_id)
            case SpeechEnded(utterance_id):
                self._gap.ended(utterance_id, now)
                self._speaking.discard(utterance_id)
                self._going_on = "" if self._going_on == utterance_id else self._going_on
            case Interim(result):
                words = [JoinedWord(word.text, word.start_s, word.end_s, word.confidence, "") for word in result.words]
                are_timed = bool(words)
                if not words:  # an engine that tells no times yet
                    words = [JoinedWord(text, result.start_s, result.end_s, result.confidence, "") for text in result.text.split()]
                yield from self._heard(result.utterance_id, words, result.end_s, is_final=False)
                self._saying, self._are_timed = words, are_timed
                self._going_on = result.utterance_id if result.utterance_id in self._speaking else ""
                yield self._more(result.start_s, result.end_s)
            case Final(utterance, end_reason):
                yield from self._heard(utterance.utterance_id, utterance.words, utterance.end_s, is_final=True)
                self._saying, self._are_timed, self._going_on = [], True, ""
                self._said += [replace(word, speaker="") for word in utterance.words]
                self._last_utterance = utterance.utterance_id
                yield from self._finished(utterance.start_s, utterance.end_s, end_reason)
            case Finalized() | Closed():
                if self._is_open:
                    yield self._end("manual", 1.0)
            case Failed():
                pass

    def look(self, audio_s: float, now: float) -> Iterator[TurnInfo]:
        """The end of a turn that silence has brought: so much audio has come by ``now``."""
        if self._is_open and not self._going_on and self._gap.due(audio_s, now) is not None:
            yield self._silenced()

    def _heard(self, utterance_id: str, words: Sequence[JoinedWord], covered_s: float, *, is_final: bool) -> Iterator[TurnInfo]:
        """The end of the turn before these words, if the silence between was long enough and has not ended it yet."""
        if not words:
            return
        told = self._gap.heard(utterance_id, (words[0].start_s, words[-1].end_s), covered_s, is_final=is_final)
        if told is not None and self._is_open and not self._going_on:
            yield self._silenced()

    def _silenced(self) -> TurnInfo:
        self._saying = []  # words that did not become final
        return self._end(self.thresholds.trigger, confidence_of(self.thresholds.end_s))

    def _more(self, start_s: float, end_s: float) -> TurnInfo:
        event: Event = "Update"
        if not self._is_open:
            event, self._is_open, self._start_s = "StartOfTurn", True, start_s
        elif self._is_eager:
            event = "TurnResumed"
        self._is_eager = False
        self._end_s = end_s
        return self._info(event, 0.0)

    def _finished(self, start_s: float, end_s: float, reason: str) -> Iterator[TurnInfo]:
        """An utterance is final. Its end is the turn's, unless more silence is asked for or it was only too long."""
        is_waiting = reason == "pause" and self.thresholds.pause_s < self.thresholds.end_s
        is_eager = is_waiting and self.thresholds.eager is not None
        if not self._is_open or self._is_eager or reason == "length" or (is_waiting and not is_eager):
            yield self._more(start_s, end_s)
        self._end_s = end_s
        if is_eager:
            self._is_eager = True
            yield self._info("EagerEndOfTurn", confidence_of(self.thresholds.pause_s))
        elif reason in ("finalize", "end"):
            yield self._end("manual", 1.0)
        elif reason == "pause" and not is_waiting:
            yield self._end(self.thresholds.trigger, confidence_of(self.thresholds.end_s))

    def _end(self, trigger: Trigger, confidence: float) -> TurnInfo:
        ended = self._info("EndOfTurn", confidence, trigger)
        self._said, self._saying = [], []
        self._is_open = self._is_eager = False
        self._index += 1
        return ended

    def _info(self, event: Event, confidence: float, trigger: Trigger = "") -> TurnInfo:
        words = write([*self._said, *self._saying], self.wording)
        if event not in ("EagerEndOfTurn", "EndOfTurn"):
            words = _unfinished(words)
        return TurnInfo(event, self._index, self._start_s, self._end_s, words, self._are_timed, confidence, trigger)


def _unfinished(words: tuple[WrittenWord, ...]) -> tuple[WrittenWord, ...]:
    """Without the full stop or question mark at the end: nobody knows yet that it is one."""
    return (*words[:-1], replace(words[-1], written=words[-1].written.rstrip(".?"))) if words else words
