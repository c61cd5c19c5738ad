"""audio.denoised and segment.transcribed in, segment.classified out: each utterance gets one final from its sound and one from its words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.classify.engine import AcousticClassifier, TextClassifier, TranscribedText
from services.classify.state import SavedSession
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32, seconds
from voxrelay.events import (
    Attribute,
    Event,
    Payload,
    SegmentClassified,
    SegmentTranscribed,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
)
from voxrelay.models.sessions import OpenSessions
from voxrelay.models.slot import EngineSupply, Loaded, answers
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT, TRANSCRIBE
from voxrelay.utterances import UtteranceAudio, UtterancePiece

LONGEST_SAMPLES = 60 * SAMPLE_RATE_HZ  # of an utterance; what follows is not listened to (denoise ends one after 30 s)
INTERIM_SAMPLES = 4 * SAMPLE_RATE_HZ  # an interim tells of the newest four seconds, so that a long utterance costs no more than short ones
REVISION_EVERY_MS = 2000  # what revisions count where there are no interims


@dataclass(slots=True)
class _Utterance:
    """The utterance in hand: 32 kB a second, two megabytes at most. ``given`` counts the samples seen from its start."""

    utterance_id: str
    start_sample: int
    wanted: frozenset[str]
    next_interim: int
    given: int = 0
    pcm_s16le: bytearray = field(default_factory=bytearray)

    def take(self, samples: Float32Array) -> None:
        room = LONGEST_SAMPLES - len(self.pcm_s16le) // 2
        self.pcm_s16le += pcm_s16le_from_float32(samples[: max(room, 0)])
        self.given += samples.size

    def samples(self, start: int, end: int) -> Float32Array:
        return float32_from_pcm_s16le(bytes(self.pcm_s16le[2 * start : 2 * end]))


@dataclass(slots=True)
class _Session:
    """``loaded`` is the model its utterances go to; it changes between two of them, where the session is saved."""

    loaded: Loaded[AcousticClassifier]
    wanted: tuple[str, ...]
    wants_interims: bool
    audio: UtteranceAudio
    finals: int = 0
    utterance: _Utterance | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What the engine is asked, and where in the output its answer goes."""

    session_id: str
    loaded: Loaded[AcousticClassifier]
    utterance_id: str
    revision: int
    is_final: bool
    start_sample: int
    end_sample: int
    samples: Float32Array
    wanted: frozenset[str]


class AcousticStage:
    """One lane's stage of the node ``classify``; the classifiers in the slot are shared.

    An utterance is measured whole when it has ended. ``SessionConfig.attributes`` are the names to keep, of those in force when the
    utterance was announced; empty keeps all, and names that no engine has are ignored here (the gateway refuses them).
    ``interim_every_ms`` 0 gives no interims: they cost four times what the finals do.
    """

    def __init__(self, slot: EngineSupply[AcousticClassifier], *, interim_every_ms: int = 0) -> None:
        self._slot, self._has_interims = slot, interim_every_ms > 0
        self._every = (interim_every_ms or REVISION_EVERY_MS) * SAMPLE_RATE_HZ // 1000
        self._sessions = OpenSessions[_Session](slot)
        self._seconds = slot.seconds(CLASSIFY.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """All that is due in the batch goes to each engine in one call."""
        output: list[Event | _Question] = []
        for event in batch:
            self._take(event, output)
        for session_id in dict.fromkeys(event.session_id for event in batch):
            self._follow(session_id, output)
        questions = [(item.loaded, item.samples) for item in output if isinstance(item, _Question)]
        if questions:
            with self._seconds.time():
                heard = iter(answers(questions, lambda classifier, utterances: classifier.classify(utterances)))
        for item in output:
            yield item if isinstance(item, Event) else Event(item.session_id, self._result(item, next(heard)))
        self._sessions.leave_ended()

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        if session is None or session.utterance is not None:
            return None
        session.loaded = self._slot.renew(session_id, session.loaded)
        return SavedSession.of(session.wanted, session.wants_interims, session.finals, session.audio, session.loaded.model).to_bytes()

    def restore(self, session_id: str, state: bytes) -> None:
        saved = SavedSession.from_bytes(state)
        audio, loaded = saved.audio(), self._slot.take_again(session_id, saved.model)
        self._sessions[session_id] = _Session(loaded, saved.wanted, saved.wants_interims, audio, saved.finals)

    def forget(self, session_id: str) -> None:
        self._sessions.end(session_id)
        self._sessions.leave_ended()

    # --- one event -------------------------------------------------------------------------------------------------------

    def _take(self, event: Event, output: list[Event | _Question]) -> None:
        payload = event.payload
        if isinstance(payload, SessionOpened):
            if CLASSIFY.asked_as in payload.config.stages:
                self._sessions.end(event.session_id)
                self._sessions[event.session_id] = _session(payload.config, self._slot.take(event.session_id))
            return
        session = self._sessions.get(event.session_id)
        if session is None:
            return
        if isinstance(payload, SessionConfigured):
            session.wanted = payload.config.attributes  # for the utterances that are announced from here on
            session.wants_interims = payload.config.interim_results
        elif isinstance(payload, SessionEnded):
            output.append(Event(event.session_id, StageFinished(CLASSIFY.name, session.finals, seconds(session.audio.position))))
            self._sessions.end(event.session_id)
        else:
            self._hear(event.session_id, session, payload, output)

    def _hear(self, session_id: str, session: _Session, payload: Payload, output: list[Event | _Question]) -> None:
        for piece in session.audio.push(payload):
            utterance = session.utterance
            if utterance is None:
                wanted = frozenset(session.wanted or session.loaded.engine.names)
                utterance = session.utterance = _Utterance(piece.utterance_id, piece.utterance_start_sample, wanted, self._every)
            utterance.take(piece.samples)
            if piece.ended is not None:
                output.append(self._last_question(session_id, session.loaded, utterance, piece))
                session.utterance = None
                session.finals += 1

    def _last_question(self, session_id: str, loaded: Loaded[AcousticClassifier], utterance: _Utterance, piece: UtterancePiece) -> _Question:
        length = utterance.given - piece.surplus_samples
        end_sample = piece.ended.end_sample if piece.ended is not None else utterance.start_sample + length
        return _Question(
            session_id=session_id,
            loaded=loaded,
            utterance_id=utterance.utterance_id,
            revision=utterance.given // self._every + 1,
            is_final=True,
            start_sample=utterance.start_sample,
            end_sample=end_sample,
            samples=utterance.samples(0, length),
            wanted=utterance.wanted,
        )

    def _follow(self, session_id: str, output: list[Event | _Question]) -> None:
        """An interim of an open utterance, at most once every so much audio."""
        session = self._sessions.get(session_id)
        if not self._has_interims or session is None or session.utterance is None:
            return
        utterance = session.utterance
        if utterance.given < utterance.next_interim or utterance.given > LONGEST_SAMPLES:
            return
        revision = utterance.given // self._every
        utterance.next_interim = (revision + 1) * self._every
        if not session.wants_interims:
            return
        start = max(0, utterance.given - INTERIM_SAMPLES)
        output.append(
            _Question(
                session_id=session_id,
                loaded=session.loaded,
                utterance_id=utterance.utterance_id,
                revision=revision,
                is_final=False,
                start_sample=utterance.start_sample + start,
                end_sample=utterance.start_sample + utterance.given,
                samples=utterance.samples(start, utterance.given),
                wanted=utterance.wanted,
            )
        )

    def _result(self, question: _Question, attributes: tuple[Attribute, ...]) -> SegmentClassified:
        return SegmentClassified(
            utterance_id=question.utterance_id,
            revision=question.revision,
            is_final=question.is_final,
            start_s=seconds(question.start_sample),
            end_s=seconds(question.end_sample),
            attributes=tuple(attribute for attribute in attributes if attribute.name in question.wanted),
            engine=question.loaded.identity,
        )


def _session(config: SessionConfig, loaded: Loaded[AcousticClassifier]) -> _Session:
    return _Session(loaded, config.attributes, config.interim_results, UtteranceAudio())


@dataclass(slots=True)
class _Read:
    """What is kept of a session whose words are read: the model they go to, and how many utterances were answered."""

    loaded: Loaded[TextClassifier]
    finals: int = 0


class TextStage:
    """One lane's stage of the node ``classify.text``; the classifiers in the slot are shared.

    segment.transcribed carries no SessionOpened, so this stage cannot see what a session asked for: it serves every session that is
    transcribed, with every attribute it has. Any record of a session opens it; ``StageFinished`` of the transcription ends it. Of a
    session it keeps only its model and how many utterances it has answered.
    """

    def __init__(self, slot: EngineSupply[TextClassifier]) -> None:
        self._slot = slot
        self._sessions = OpenSessions[_Read](slot)
        self._seconds = slot.seconds(CLASSIFY_TEXT.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """All finals of the batch go to each engine in one call; a text without words gets a final without attributes."""
        output: list[Event | tuple[str, Loaded[TextClassifier], SegmentTranscribed]] = []
        for event in batch:
            payload = event.payload
            if isinstance(payload, SegmentTranscribed) and payload.is_final:
                session = self._session(event.session_id)
                session.finals += 1
                output.append((event.session_id, session.loaded, payload))
            elif isinstance(payload, StageFinished) and payload.stage == TRANSCRIBE.name:
                ended = self._sessions.end(event.session_id)
                finished = StageFinished(CLASSIFY_TEXT.name, ended.finals if ended is not None else 0, payload.audio_seconds)
                output.append(Event(event.session_id, finished))
        texts = [(item[1], TranscribedText(item[2].text, item[2].words, item[2].language)) for item in output if not isinstance(item, Event)]
        if texts:
            with self._seconds.time():
                read = iter(answers(texts, lambda classifier, several: classifier.classify(several)))
        for item in output:
            yield item if isinstance(item, Event) else Event(item[0], _read_result(item[1], item[2], next(read)))
        self._sessions.leave_ended()

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        if session is None:
            return None
        session.loaded = self._slot.renew(session_id, session.loaded)
        return f"{session.finals} {session.loaded.model}".encode()

    def restore(self, session_id: str, state: bytes) -> None:
        finals, _, model = state.decode().partition(" ")
        count = int(finals)
        self._sessions[session_id] = _Read(self._slot.take_again(session_id, model), count)

    def forget(self, session_id: str) -> None:
        self._sessions.end(session_id)
        self._sessions.leave_ended()

    def _session(self, session_id: str) -> _Read:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Read(self._slot.take(session_id))
        return session


def _read_result(loaded: Loaded[TextClassifier], transcribed: SegmentTranscribed, attributes: tuple[Attribute, ...]) -> SegmentClassified:
    return SegmentClassified(
        utterance_id=transcribed.utterance_id,
        revision=transcribed.revision,
        is_final=True,
        start_s=transcribed.start_s,
        end_s=transcribed.end_s,
        attributes=attributes,
        engine=loaded.identity,
    )
