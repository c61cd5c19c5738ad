"""audio.denoised in, segment.transcribed out: one final an utterance, and interims while it lasts where they are wanted.

A session whose language the engine does not have is refused where it opens (UNSUPPORTED_LANGUAGE, at the gateway). Should one come
through, it is transcribed all the same, and its results say which language they are in: the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.transcribe.engine import Advance, Hypothesis, StreamOptions, Transcriber
from services.transcribe.state import SavedSession
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, seconds
from voxrelay.events import (
    AudioDenoised,
    Event,
    Payload,
    SegmentTranscribed,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
    Word,
)
from voxrelay.models.sessions import OpenSessions
from voxrelay.models.slot import EngineSupply, Loaded, answers
from voxrelay.topology import TRANSCRIBE
from voxrelay.utterances import UtteranceAudio, UtterancePiece

SPEECH_PROBABILITY = 0.3  # a chunk below it is taken for the pause that may end the utterance
LONGEST_DOUBT_SAMPLES = SAMPLE_RATE_HZ  # after so long a pause the utterance is taken to go on
AT_ONCE_S = 120.0  # some twelve seconds of work for the bundled engine, far below what a gateway waits for a word


@dataclass(slots=True)
class _Utterance:
    """The utterance in hand. ``given`` and ``likely`` count samples from its start: seen so far, and probably within it."""

    utterance_id: str
    start_sample: int
    stream: int
    waiting: list[Float32Array] = field(default_factory=list)  # not yet handed to the engine
    given: int = 0
    likely: int = 0
    next_interim: int = 0
    text: str = ""  # of the interim published last

    def take(self, samples: Float32Array) -> None:
        self.waiting.append(samples)
        self.given += samples.size

    def step(self, *, is_last: bool, surplus_samples: int) -> Advance:
        samples = np.concatenate(self.waiting) if self.waiting else np.zeros(0, dtype=np.float32)
        self.waiting.clear()
        return Advance(self.stream, samples, is_last, surplus_samples)


@dataclass(slots=True)
class _Session:
    """``loaded`` is the model its utterances go to; it changes between two of them, where the session is saved."""

    loaded: Loaded[Transcriber]
    options: StreamOptions
    wants_interims: bool
    audio: UtteranceAudio
    finals: int = 0
    utterance: _Utterance | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the output the engine's answer to ``step`` goes. ``end_sample`` is set for a final."""

    session_id: str
    loaded: Loaded[Transcriber]
    utterance: _Utterance
    step: Advance
    revision: int
    end_sample: int | None = None


class TranscribeStage:
    """One lane's stage; the transcribers in the slot are shared. ``is_urgent``: somebody waits for the results.

    ``at_once_s`` is how much audio, about, ends in one call of an engine: the first of a long batch are told before the last are decoded.
    """

    def __init__(self, slot: EngineSupply[Transcriber], *, interim_every_ms: int = 300, is_urgent: bool = True, at_once_s: float = AT_ONCE_S) -> None:
        self._slot, self._is_urgent, self._at_once = slot, is_urgent, int(at_once_s * SAMPLE_RATE_HZ)
        self._every = interim_every_ms * SAMPLE_RATE_HZ // 1000
        self._sessions = OpenSessions[_Session](slot)
        self._seconds = slot.seconds(TRANSCRIBE.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """All that is due in the batch goes to each engine in one call, or in as few as ``at_once_s`` allows."""
        output: list[Event | _Place] = []
        for event in batch:
            self._take(event, output)
        for session_id in dict.fromkeys(event.session_id for event in batch):
            self._follow(session_id, output)
        asked = 0
        try:
            for until in _cuts(output, self._at_once):
                part, asked = output[asked:until], until
                yield from self._answered(part)
        finally:  # where an engine or the log failed
            for item in output[asked:]:
                if isinstance(item, _Place):
                    item.loaded.engine.discard(item.step.stream)
        self._sessions.leave_ended()

    def _answered(self, output: Sequence[Event | _Place]) -> Iterator[Event]:
        work = [(item.loaded, item.step) for item in output if isinstance(item, _Place)]
        heard: Iterator[Hypothesis | None] = iter(())
        if work:
            with self._seconds.time():
                heard = iter(answers(work, lambda engine, steps: engine.advance(steps)))
        for item in output:
            if isinstance(item, Event):
                yield item
            else:
                payload = self._result(item, next(heard))
                if payload is not None:
                    yield Event(item.session_id, payload)

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        if session is None or session.utterance is not None:
            return None
        session.loaded = self._slot.renew(session_id, session.loaded)
        return SavedSession.of(session.options, session.wants_interims, session.finals, session.audio, session.loaded.model).to_bytes()

    def restore(self, session_id: str, state: bytes) -> None:
        saved = SavedSession.from_bytes(state)
        audio, loaded = saved.audio(), self._slot.take_again(session_id, saved.model)
        self._sessions[session_id] = _Session(loaded, saved.options, saved.wants_interims, audio, saved.finals)

    def forget(self, session_id: str) -> None:
        self._end(session_id)
        self._sessions.leave_ended()

    def _end(self, session_id: str) -> None:
        session = self._sessions.end(session_id)
        if session is not None and session.utterance is not None:
            session.loaded.engine.discard(session.utterance.stream)

    # --- one event -------------------------------------------------------------------------------------------------------

    def _take(self, event: Event, output: list[Event | _Place]) -> None:
        payload = event.payload
        if isinstance(payload, SessionOpened):
            if TRANSCRIBE.asked_as in payload.config.stages:
                self._end(event.session_id)
                loaded = self._slot.take(event.session_id)
                self._sessions[event.session_id] = _Session(loaded, _options(payload.config), payload.config.interim_results, UtteranceAudio())
            return
        session = self._sessions.get(event.session_id)
        if session is None:
            return
        if isinstance(payload, SessionConfigured):
            session.options = _options(payload.config)  # for the utterances that start from here on
            session.wants_interims = payload.config.interim_results
        elif isinstance(payload, SessionEnded):
            finished = StageFinished(TRANSCRIBE.name, session.finals, seconds(session.audio.position))
            output.append(Event(event.session_id, finished))
            self._end(event.session_id)
        else:
            for piece in session.audio.push(payload):
                self._hear(event.session_id, session, payload, piece, output)

    def _hear(self, session_id: str, session: _Session, payload: Payload, piece: UtterancePiece, output: list[Event | _Place]) -> None:
        utterance = session.utterance
        if utterance is None:
            stream = session.loaded.engine.open(session.options, wants_interims=session.wants_interims, is_urgent=self._is_urgent)
            utterance = session.utterance = _Utterance(piece.utterance_id, piece.utterance_start_sample, stream, next_interim=self._every)
        utterance.take(piece.samples)
        if not isinstance(payload, AudioDenoised) or payload.speech_probability >= SPEECH_PROBABILITY:
            utterance.likely = utterance.given
        if piece.ended is not None:
            step, revision = utterance.step(is_last=True, surplus_samples=piece.surplus_samples), utterance.given // self._every + 1
            output.append(_Place(session_id, session.loaded, utterance, step, revision, piece.ended.end_sample))
            session.utterance = None
            session.finals += 1

    def _follow(self, session_id: str, output: list[Event | _Place]) -> None:
        """Hand over what an open utterance has gathered, at most once every so much audio."""
        session = self._sessions.get(session_id)
        if session is None or session.utterance is None or session.utterance.given < session.utterance.next_interim:
            return
        utterance = session.utterance
        revision = utterance.given // self._every
        utterance.next_interim = (revision + 1) * self._every
        doubtful = min(utterance.given - utterance.likely, LONGEST_DOUBT_SAMPLES)
        step = utterance.step(is_last=False, surplus_samples=doubtful)
        output.append(_Place(session_id, session.loaded, utterance, step, revision))

    # --- one answer --------------------------------------------------------------------------------------------------------

    def _result(self, place: _Place, hypothesis: Hypothesis | None) -> SegmentTranscribed | None:
        utterance = place.utterance
        is_final = place.end_sample is not None
        if hypothesis is None:
            if is_final:
                raise AssertionError("an engine answers every last stretch")
            return None
        if not is_final:
            session = self._sessions.get(place.session_id)
            if session is None or not session.wants_interims or not hypothesis.text or hypothesis.text == utterance.text:
                return None
            utterance.text = hypothesis.text
        start_s = seconds(utterance.start_sample)
        return SegmentTranscribed(
            utterance_id=utterance.utterance_id,
            revision=place.revision,
            is_final=is_final,
            start_s=start_s,
            end_s=seconds(place.end_sample if place.end_sample is not None else utterance.start_sample + hypothesis.samples),
            text=hypothesis.text,
            confidence=hypothesis.confidence,
            words=tuple(
                Word(word.text, round(start_s + word.start_s, 6), round(start_s + word.end_s, 6), word.confidence) for word in hypothesis.words
            ),
            language=hypothesis.language,
            engine=place.loaded.identity,
        )


def _cuts(output: Sequence[Event | _Place], samples_at_once: int) -> Iterator[int]:
    """Where to cut the output, so that hardly more than so much audio ends between two cuts; its end is the last."""
    samples = 0
    for number, item in enumerate(output):
        if isinstance(item, _Place) and item.step.is_last:
            samples += item.utterance.given
            if samples >= samples_at_once:
                samples = 0
                yield number + 1
    yield len(output)


def _options(config: SessionConfig) -> StreamOptions:
    return StreamOptions(config.language, config.custom_vocabulary)
