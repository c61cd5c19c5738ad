"""audio.received in, audio.denoised and utterance.detected out: the head of the path."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.denoise.boundaries import Boundary
from services.denoise.engine import NO_SAMPLES, Passage
from services.denoise.session import DenoiseSession, FrontEnd
from voxrelay.audio import Float32Array, pcm_s16le_from_float32, seconds
from voxrelay.errors import Poison
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
    Event,
    FinalizeRequested,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
)
from voxrelay.models.slot import answers
from voxrelay.telemetry import ENGINE_SECONDS
from voxrelay.topology import DENOISE

MOST_AT_ONCE_MS = 400  # of a chunk: then an utterance's start is never announced later than the contract says
MOST_MISSING_S = 30.0  # a hole in the audio (a chunk in the dead letters) up to so long is filled with silence, so that times stay right


@dataclass(slots=True)
class _Piece:
    """The next audio of one session: at most 400 ms, or what is left at its end."""

    session_id: str
    session: DenoiseSession
    samples: Float32Array
    ended: SessionEnded | None = None

    @property
    def is_last(self) -> bool:
        return self.ended is not None


class DenoiseStage:
    """Passes audio on after ``suppressor.delay_samples`` plus what fills an 8 ms hop, and utterance boundaries when they are sure.

    Each chunk becomes one ``AudioDenoised`` (one for each 400 ms of it) as soon as it completes a hop; the boundaries it decided follow it.
    In each round every detector and every suppressor is called once for all sessions with audio in the batch. Sessions that did not
    ask for denoise pass through unsuppressed, for all stages need the utterances.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._sessions: dict[str, DenoiseSession] = {}
        self._engine_seconds = ENGINE_SECONDS.labels(DENOISE.name)

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Raises ``Poison`` for audio that is no whole number of frames or runs backwards, and for a session at a rate that is not served."""
        waiting: dict[str, deque[Event | _Piece]] = {}
        for event in batch:
            waiting.setdefault(event.session_id, deque()).append(event)
        while waiting:
            round_: list[_Piece] = []
            for session_id, queue in list(waiting.items()):
                yield from self._until_audio(session_id, queue, round_)
                if not queue:
                    del waiting[session_id]
            if round_:
                yield from self._pass_on(round_)

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        return session.dump() if session is not None else None

    def restore(self, session_id: str, state: bytes) -> None:
        self._sessions[session_id] = DenoiseSession.load(state, self._front_end)

    def forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._front_end.leave(session.engines)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _until_audio(self, session_id: str, queue: deque[Event | _Piece], round_: list[_Piece]) -> Iterator[Event]:
        """Handles a session's records up to the first with audio, which joins the round."""
        while queue:
            item = queue.popleft()
            if isinstance(item, _Piece):
                round_.append(item)
                return
            payload = item.payload
            if isinstance(payload, SessionOpened):
                yield self._open(item, payload)
                continue
            session = self._sessions.get(session_id)
            if session is None:
                continue
            if isinstance(payload, AudioReceived):
                queue.extendleft(reversed(_pieces(item, payload, session)))
            elif isinstance(payload, SessionEnded):
                queue.appendleft(_Piece(session_id, session, NO_SAMPLES, payload))
            elif isinstance(payload, SessionConfigured):
                session.configure(payload.config)
                yield Event(session_id, payload)
            elif isinstance(payload, FinalizeRequested):
                for boundary in session.boundaries.finish("finalize", session.passed_on, round(session.levels.snr_db, 1)):
                    yield Event(session_id, boundary)
                yield Event(session_id, payload)

    def _open(self, event: Event, payload: SessionOpened) -> Event:
        self.forget(event.session_id)
        engines = self._front_end.take(event.session_id)
        try:
            self._sessions[event.session_id] = DenoiseSession(payload.config, self._front_end, engines)
        except ValueError as error:
            self._front_end.leave(engines)
            raise Poison(str(error), event.id) from error
        return Event(event.session_id, payload)

    # --- one round for all sessions -----------------------------------------------------------------------------------

    def _pass_on(self, round_: Sequence[_Piece]) -> Iterator[Event]:
        for piece in round_:
            if piece.is_last:
                piece.samples = piece.session.resampler.finish()
        frames = [piece.session.frames_of(piece.samples, is_last=piece.is_last) for piece in round_]
        with self._engine_seconds.time():
            heard = [(piece.session.engines.detector, (piece.session.detection, of)) for piece, of in zip(round_, frames, strict=True)]
            spoken = answers(heard, lambda detector, work: detector.process(work))
        passages = []
        for piece, of, probabilities in zip(round_, frames, spoken, strict=True):
            strengths = piece.session.judge(of, probabilities)
            hops, by_hop = piece.session.hops_of(piece.samples, strengths, is_last=piece.is_last)
            passages.append((piece.session.engines.suppressor, Passage(piece.session.suppression, hops, by_hop)))
        with self._engine_seconds.time():
            cleaned = answers(passages, lambda suppressor, work: suppressor.process(work))
        for piece, samples in zip(round_, cleaned, strict=True):
            yield from self._results(piece, samples)

    def _results(self, piece: _Piece, cleaned: Float32Array) -> Iterator[Event]:
        session, session_id = piece.session, piece.session_id
        start = session.passed_on
        samples = session.pass_on(cleaned, is_last=piece.is_last)
        boundaries: list[Boundary] = []
        heard: list[float] = []
        for first, end, frame in session.due_frames(is_last=piece.is_last):
            heard.append(frame.probability)
            boundaries.extend(session.boundaries.hear(first, end, frame.probability, frame.snr_db))
        if heard:
            session.probability = heard[-1]
        if piece.is_last:
            boundaries.extend(session.boundaries.finish("end", session.passed_on, round(session.levels.snr_db, 1)))
        if samples.size:
            noise_dbfs = round(session.levels.noise_dbfs, 1)
            probability = max(heard, default=session.probability)
            yield Event(session_id, AudioDenoised(start, pcm_s16le_from_float32(samples), session.boundaries.open_id, probability, noise_dbfs))
        for boundary in boundaries:
            yield Event(session_id, boundary)
        if piece.ended is not None:
            yield from self._end(session_id, session, piece.ended)

    def _end(self, session_id: str, session: DenoiseSession, ended: SessionEnded) -> Iterator[Event]:
        audio_seconds = seconds(session.resampler.frames, session.config.sample_rate_hz)
        self.forget(session_id)
        yield Event(session_id, SessionEnded(ended.reason, audio_seconds))
        yield Event(session_id, StageFinished(DENOISE.name, session.boundaries.utterances, audio_seconds))


def _pieces(event: Event, payload: AudioReceived, session: DenoiseSession) -> list[_Piece]:
    """A chunk at 16 kHz, cut so that none is longer than 400 ms. Fills a hole before it; takes the chunk out of the resampler's hands."""
    rate_hz, frame_bytes = session.config.sample_rate_hz, 2 * session.config.channels
    if not payload.pcm_s16le and payload.start_sample == session.resampler.frames:
        return []
    missing = payload.start_sample - session.resampler.frames
    if len(payload.pcm_s16le) % frame_bytes:
        raise Poison("A chunk must hold whole frames of 16-bit samples.", event.id)
    if not 0 <= missing <= MOST_MISSING_S * rate_hz:
        raise Poison("A chunk must begin where the audio so far ends.", event.id)
    pcm = bytes(missing * frame_bytes) + payload.pcm_s16le
    step = rate_hz * MOST_AT_ONCE_MS // 1000 * frame_bytes
    return [_Piece(event.session_id, session, session.resampler.push(pcm[at : at + step])) for at in range(0, len(pcm), step)]
