"""audio.denoised in, one FLAC object an utterance out: named after session and utterance, so that writing it again changes nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import av
import numpy as np
from sqlalchemy import Engine

from voxrelay.audio import PCM_BYTES, SAMPLE_RATE_HZ, pcm_s16le_from_float32, seconds
from voxrelay.clock import steady_time
from voxrelay.events import Event, Payload, SessionConfigured, SessionEnded, SessionOpened
from voxrelay.storage import database
from voxrelay.storage.database import answering, upsert
from voxrelay.storage.deletion import lock_sessions
from voxrelay.storage.objects import ObjectStore, session_folder
from voxrelay.telemetry import OBJECT_BYTES, OBJECTS
from voxrelay.utterances import UtteranceAudio, pack_audio, unpack_audio


def object_name(session_id: str, utterance_id: str) -> str:
    return f"{session_folder(session_id)}/utterances/{utterance_id}.flac"


def flac(pcm_s16le: bytes) -> bytes:
    """Mono 16 kHz, 16 bit, lossless; the same samples give the same bytes."""
    target = io.BytesIO()
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm_s16le, dtype=np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


@dataclass(slots=True)
class _Session:
    """``audio`` is None while the caller wants none kept: then none is held for a moment either."""

    audio: UtteranceAudio | None
    heard: bytearray = field(default_factory=bytearray)  # pcm_s16le of the open utterance

    def keep(self, is_wanted: bool) -> None:
        """In force for the audio after it."""
        if is_wanted != (self.audio is not None):
            self.audio = UtteranceAudio() if is_wanted else None
            self.heard.clear()

    def push(self, payload: Payload) -> tuple[str, bytes] | None:
        """Name and pcm_s16le of the utterance this ends, unless its beginning was said while no audio was to be kept."""
        found = None
        for piece in self.audio.push(payload) if self.audio is not None else ():
            self.heard += pcm_s16le_from_float32(piece.samples)
            if piece.ended is not None:
                heard_from = piece.start_sample + piece.samples.size - len(self.heard) // PCM_BYTES
                utterance = bytes(self.heard[: len(self.heard) - PCM_BYTES * piece.surplus_samples])
                self.heard.clear()
                if utterance and heard_from <= piece.utterance_start_sample:
                    found = piece.utterance_id, utterance
        return found


@dataclass(frozen=True, slots=True)
class _Recording:
    session_id: str
    utterance_id: str
    content: bytes
    duration_s: float
    upload: Future[None]


class ArchiveStage:
    """Publishes nothing: a stage so that an utterance that was half heard at a crash is heard again from the checkpoint on."""

    def __init__(self, objects: ObjectStore, engine: Engine, uploads: ThreadPoolExecutor, clock: Callable[[], float] = steady_time) -> None:
        self._objects, self._engine, self._uploads, self._clock = objects, engine, uploads, clock
        self._sessions: dict[str, _Session] = {}

    def process(self, batch: Sequence[Event]) -> Iterable[Event]:
        """Returns when the batch's objects and their rows are stored. Raises ``Unavailable`` when a store does not take them."""
        recordings: list[_Recording] = []
        for event in batch:
            self._take(event, recordings)
        for recording in recordings:
            recording.upload.result()
            OBJECTS.labels("utterance").inc()
            OBJECT_BYTES.labels("utterance").inc(len(recording.content))
        if recordings:
            self._keep(recordings)
        return ()

    def snapshot(self, session_id: str) -> bytes | None:
        session = self._sessions.get(session_id)
        if session is None:
            return None
        if session.audio is None:
            return b"\0"
        return b"\1" + pack_audio(session.audio) if session.audio.is_between else None

    def restore(self, session_id: str, state: bytes) -> None:
        self._sessions[session_id] = _Session(unpack_audio(state[1:]) if state[0] else None)

    def forget(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    def _take(self, event: Event, recordings: list[_Recording]) -> None:
        payload = event.payload
        if isinstance(payload, SessionOpened):
            self._sessions[event.session_id] = _Session(UtteranceAudio() if payload.config.keep_audio else None)
            return
        session = self._sessions.get(event.session_id)
        if session is None:
            return
        if isinstance(payload, SessionConfigured):
            session.keep(payload.config.keep_audio)
        elif isinstance(payload, SessionEnded):
            self.forget(event.session_id)
        elif (ended := session.push(payload)) is not None:
            recordings.append(self._record(event.session_id, *ended))

    def _record(self, session_id: str, utterance_id: str, pcm_s16le: bytes) -> _Recording:
        content = flac(pcm_s16le)
        upload = self._uploads.submit(self._objects.put, object_name(session_id, utterance_id), content)
        return _Recording(session_id, utterance_id, content, seconds(len(pcm_s16le) // PCM_BYTES), upload)

    def _keep(self, recordings: Sequence[_Recording]) -> None:
        now = self._clock()
        rows = [
            {
                "session_id": recording.session_id,
                "utterance_id": recording.utterance_id,
                "object": object_name(recording.session_id, recording.utterance_id),
                "size_bytes": len(recording.content),
                "duration_s": recording.duration_s,
                "created_at": now,
            }
            for recording in recordings
        ]
        with answering(), self._engine.begin() as connection:
            marks = lock_sessions(connection, [recording.session_id for recording in recordings], now)
            deleted = {session_id for session_id, (_, is_audio_deleted) in marks.items() if is_audio_deleted}
            kept = [row for row in rows if row["session_id"] not in deleted]
            upsert(connection, database.recordings, kept, updates=["object", "size_bytes", "duration_s"])
        # A deletion that came before us has not seen these; one that comes after us finds them.
        self._objects.remove([str(row["object"]) for row in rows if row["session_id"] in deleted])
