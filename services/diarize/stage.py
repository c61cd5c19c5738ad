"""audio.denoised in, segment.diarized out: interims while an utterance lasts where they are wanted, one first final, then revisions.

Every utterance that ends is evidence on those before it: where their speakers change by it, they are published again, as finals of a
higher revision. Labels last: the speaker who was S1 stays S1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.diarize.clustering import GridArray, on_grid
from services.diarize.engine import SpeakerEmbedder
from services.diarize.speakers import Heard, Memory, RulesFor, Speakers
from services.diarize.state import SavedSession, pack_speakers, unpack_speakers
from services.diarize.turns import Turn, all_starts, regular_starts, slots, speech_spans, turns, window_at
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, seconds
from voxrelay.events import Event, SegmentDiarized, SessionConfigured, SessionEnded, SessionOpened, SpeakerSegment, StageFinished, UtteranceEnded
from voxrelay.models.sessions import OpenSessions
from voxrelay.models.slot import EngineSupply, Loaded, answers
from voxrelay.topology import DIARIZE
from voxrelay.utterances import UtteranceAudio, UtterancePiece, pack_audio, unpack_audio


@dataclass(slots=True)
class _Utterance:
    """The utterance in hand. ``cut`` are the starts of the windows handed to the embedder, ``vectors`` what came back, by start."""

    utterance_id: str
    start_sample: int
    next_interim: int
    parts: list[Float32Array] = field(default_factory=list)
    given: int = 0
    cut: set[int] = field(default_factory=set)
    vectors: dict[int, GridArray] = field(default_factory=dict)

    def take(self, samples: Float32Array) -> None:
        self.parts.append(samples)
        self.given += samples.size

    def samples(self) -> Float32Array:
        self.parts = [np.concatenate(self.parts)] if self.parts else [np.zeros(0, dtype=np.float32)]
        return self.parts[0]


@dataclass(slots=True)
class _Session:
    """``loaded`` is the session's for good: directions of two models cannot be compared, and its speakers are made of them."""

    loaded: Loaded[SpeakerEmbedder]
    most: int  # speakers; 0 for any number
    wants_interims: bool
    audio: UtteranceAudio
    speakers: Speakers
    finals: int = 0
    utterance: _Utterance | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the output a result goes, with all that was so at that moment. ``ended`` is set for a final, with its samples."""

    session_id: str
    session: _Session
    utterance: _Utterance
    revision: int
    most: int
    starts: list[int]  # of the windows it is made of
    samples: Float32Array
    ended: UtteranceEnded | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    utterance: _Utterance
    start: int
    samples: Float32Array


_Work = list[tuple[Loaded[SpeakerEmbedder], _Window]]


class DiarizeStage:
    """One lane's stage; the embedders in the slot are shared."""

    def __init__(self, slot: EngineSupply[SpeakerEmbedder], *, rules: RulesFor, memory: Memory | None = None, interim_every_ms: int = 1000) -> None:
        self._slot, self._rules, self._memory = slot, rules, memory or Memory()
        self._every = interim_every_ms * SAMPLE_RATE_HZ // 1000
        self._sessions = OpenSessions[_Session](slot)
        self._seconds = slot.seconds(DIARIZE.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """First all audio is cut into windows, then all windows go to each embedder in one call, then the speakers are told."""
        output: list[Event | _Place] = []
        work: _Work = []
        for event in batch:
            self._take(event, output, work)
        for session_id in dict.fromkeys(event.session_id for event in batch):
            self._follow(session_id, output, work)
        if work:
            with self._seconds.time():
                vectors = answers(work, _embedded)
            for (_, window), vector in zip(work, vectors, strict=True):
                window.utterance.vectors[window.start] = vector
        for item in output:
            if isinstance(item, Event):
                yield item
            else:
                for result in self._results(item):
                    yield Event(item.session_id, result)
        self._sessions.leave_ended()

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        if session is None or session.utterance is not None:
            return None
        packed_audio, packed_speakers = pack_audio(session.audio), pack_speakers(session.speakers)
        return SavedSession(session.most, session.wants_interims, session.finals, packed_audio, packed_speakers, session.loaded.model).to_bytes()

    def restore(self, session_id: str, state: bytes) -> None:
        saved = SavedSession.from_bytes(state)
        audio, loaded = unpack_audio(saved.packed_audio), self._slot.take_same(saved.model)
        try:
            speakers = self._speakers(loaded.engine)
            unpack_speakers(saved.packed_speakers, speakers, loaded.engine.dimensions)
        except BaseException:
            self._slot.leave(loaded)
            raise
        self._sessions[session_id] = _Session(loaded, saved.most, saved.wants_interims, audio, speakers, saved.finals)

    def forget(self, session_id: str) -> None:
        self._sessions.end(session_id)
        self._sessions.leave_ended()

    def _speakers(self, embedder: SpeakerEmbedder) -> Speakers:
        return Speakers(self._rules(embedder), self._memory, embedder.window_samples, embedder.dimensions)

    # --- audio ---------------------------------------------------------------------------------------------------------------

    def _take(self, event: Event, output: list[Event | _Place], work: _Work) -> None:
        payload = event.payload
        if isinstance(payload, SessionOpened):
            config = payload.config
            if DIARIZE.asked_as in config.stages:
                self._sessions.end(event.session_id)
                loaded = self._slot.take(event.session_id)
                speakers = self._speakers(loaded.engine)
                self._sessions[event.session_id] = _Session(loaded, config.num_speakers, config.interim_results, UtteranceAudio(), speakers)
            return
        session = self._sessions.get(event.session_id)
        if session is None:
            return
        if isinstance(payload, SessionConfigured):
            session.most = payload.config.num_speakers  # for the utterances that end from here on
            session.wants_interims = payload.config.interim_results
        elif isinstance(payload, SessionEnded):
            finished = StageFinished(DIARIZE.name, session.finals, seconds(session.audio.position))
            output.append(Event(event.session_id, finished))
            self._sessions.end(event.session_id)
        else:
            for piece in session.audio.push(payload):
                self._hear(event.session_id, session, piece, output, work)

    def _hear(self, session_id: str, session: _Session, piece: UtterancePiece, output: list[Event | _Place], work: _Work) -> None:
        utterance = session.utterance
        if utterance is None:
            utterance = session.utterance = _Utterance(piece.utterance_id, piece.utterance_start_sample, next_interim=self._every)
        utterance.take(piece.samples)
        if piece.ended is None:
            return
        embedder = session.loaded.engine
        samples = utterance.samples()[: piece.ended.end_sample - piece.ended.start_sample]
        starts = all_starts(samples.size, embedder.window_samples, embedder.step_samples)
        if samples.size < embedder.window_samples:
            utterance.cut.clear()  # what was cut while the end was not known heard more than the utterance
        _cut(session.loaded, utterance, samples, starts, work)
        revision = utterance.given // self._every + 1
        output.append(_Place(session_id, session, utterance, revision, session.most, starts, samples, piece.ended))
        session.utterance = None
        session.finals += 1

    def _follow(self, session_id: str, output: list[Event | _Place], work: _Work) -> None:
        """An interim of the open utterance, at most once every so much audio; without one its windows wait for its end."""
        session = self._sessions.get(session_id)
        if session is None or session.utterance is None or not session.wants_interims or session.utterance.given < session.utterance.next_interim:
            return
        utterance = session.utterance
        revision = utterance.given // self._every
        utterance.next_interim = (revision + 1) * self._every
        samples = utterance.samples()
        starts = regular_starts(samples.size, session.loaded.engine.window_samples, session.loaded.engine.step_samples)
        if starts:
            _cut(session.loaded, utterance, samples, starts, work)
            output.append(_Place(session_id, session, utterance, revision, session.most, starts, samples))

    # --- speakers ------------------------------------------------------------------------------------------------------------

    def _results(self, place: _Place) -> Iterable[SegmentDiarized]:
        if place.ended is None:
            return [_interim(place)]
        ended, rows = place.ended, _rows(place)
        heard = Heard(ended.utterance_id, ended.start_sample, ended.end_sample, place.revision, place.starts, rows, speech_spans(place.samples))
        return [_final(one, place.session.loaded) for one in place.session.speakers.hear([heard], place.most)]


def _embedded(embedder: SpeakerEmbedder, windows: Sequence[_Window]) -> list[GridArray]:
    return list(on_grid(embedder.embed(np.stack([window.samples for window in windows]))))


def _cut(loaded: Loaded[SpeakerEmbedder], utterance: _Utterance, samples: Float32Array, starts: Sequence[int], work: _Work) -> None:
    for start in starts:
        if start not in utterance.cut:
            utterance.cut.add(start)
            work.append((loaded, _Window(utterance, start, window_at(samples, start, loaded.engine.window_samples))))


def _rows(place: _Place) -> GridArray:
    vectors = [place.utterance.vectors[start] for start in place.starts]
    return np.stack(vectors) if vectors else np.zeros((0, place.session.loaded.engine.dimensions), dtype=np.int8)


def _final(heard: Heard, loaded: Loaded[SpeakerEmbedder]) -> SegmentDiarized:
    found = heard.turns(loaded.engine.window_samples)
    return _result(loaded, heard.utterance_id, heard.revision, True, heard.start_sample, heard.end_sample, found)


def _interim(place: _Place) -> SegmentDiarized:
    utterance, count, loaded = place.utterance, place.samples.size, place.session.loaded
    labels, confidences = place.session.speakers.provisional(_rows(place), place.most)
    spans = slots(place.starts, loaded.engine.window_samples, count)
    found = turns(labels, confidences, spans, speech_spans(place.samples))
    return _result(loaded, utterance.utterance_id, place.revision, False, utterance.start_sample, utterance.start_sample + count, found)


def _result(
    loaded: Loaded[SpeakerEmbedder], utterance_id: str, revision: int, is_final: bool, start_sample: int, end_sample: int, found: Sequence[Turn]
) -> SegmentDiarized:
    segments = [
        SpeakerSegment(f"S{turn.label}", seconds(start_sample + turn.start), seconds(start_sample + turn.end), turn.confidence) for turn in found
    ]
    return SegmentDiarized(
        utterance_id=utterance_id,
        revision=revision,
        is_final=is_final,
        start_s=seconds(start_sample),
        end_s=seconds(end_sample),
        segments=tuple(segments),
        engine=loaded.identity,
    )
