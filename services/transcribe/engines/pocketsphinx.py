"""pocketsphinx 5.1 (BSD-2) with the English model in its wheel, in worker processes: it holds the interpreter lock.

A live utterance is followed by one recogniser while it lasts. Where none is left it gets no interims, and its final is decoded
from its start when it ends, as in the bulk lane: by the same steps, so with the same result (``pocketsphinx_decoding`` says why). The
end of an utterance is announced after the pause behind it, so a followed utterance is heard only as far as it is likely to reach;
where that was too far, the final is decoded from its start as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from threading import Lock

import numpy as np
import pocketsphinx

from services.transcribe.engine import Advance, Hypothesis, StreamOptions
from services.transcribe.engines.dispatch import Dispatch, Urgency
from services.transcribe.engines.precedence import AtWork
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32, seconds
from voxrelay.events import Engine, Word
from voxrelay.telemetry import THINNED
from voxrelay.workers import Workers

DECODING = "services.transcribe.engines.pocketsphinx_decoding:Decoding"
BLOCK_BYTES = 3200  # followed utterances are sent in whole blocks, so that what was sent is what was heard
LATEST_BYTES = 4 * SAMPLE_RATE_HZ  # two seconds of audio: who is further behind is not followed any longer
TIMEOUT_S = 180.0
SHORTEST_JUDGED_S = 1.0
LEAST_CONFIDENCE = 0.2
LEAST_CONFIDENCE_SPARSE = 0.35
SPARSE_WORDS_PER_SECOND = 1.0  # people say two to four
LANGUAGE = "en"

Words = tuple[tuple[str, float, float, float], ...]  # text, start and end in seconds from the utterance's start, confidence
Heard = Words | None  # None: the process asked does not know the stream, because it is not the one that did


@dataclass(slots=True)
class _Stream:
    """``worker`` is who follows it; once there was none, or it fell behind, it is followed no more."""

    options: StreamOptions
    wants_interims: bool
    is_urgent: bool
    is_followed: bool
    pcm: bytearray = field(default_factory=bytearray)
    sent_bytes: int = 0
    worker: int | None = None
    interim: tuple[str, ...] = ()

    def hear(self, heard: Words) -> Hypothesis:
        """An interim: a word is as sure as it has stood there in the interim before (the search has no posteriors in mid-utterance)."""
        texts = tuple(text for text, _, _, _ in heard)
        stood = [index < len(self.interim) and self.interim[index] == text for index, text in enumerate(texts)]
        self.interim = texts
        words = tuple(Word(text, start_s, end_s, float(stood[index])) for index, (text, start_s, end_s, _) in enumerate(heard))
        return Hypothesis(" ".join(texts), words, round(sum(stood) / len(stood), 3) if stood else 0.0, self.sent_bytes // 2, LANGUAGE)


class PocketsphinxTranscriber:
    """``workers`` processes, each following up to ``followed`` utterances (55 MB a followed one, and one more).

    As many again, which follow none, from the first utterance that is not urgent on: nobody who speaks waits for a recogniser that is at
    work on a file. They are started by the thread that opens it, and so have its share of the processor, and let the others go first.
    """

    languages = (LANGUAGE,)

    def __init__(
        self, workers: int = 1, followed: int = 4, words: int = 20_000, beam_hmms: int = 3000, boost: float = 30.0, vocabularies: int = 1
    ) -> None:
        """Raises ``WorkerFailed`` when the model cannot be read."""
        self.engine = Engine("pocketsphinx", version("pocketsphinx"), _model_digest())
        options = {"followed": followed, "words": words, "beam_hmms": beam_hmms, "boost": boost, "vocabularies": vocabularies}
        self._make_workers = partial(Workers, DECODING, workers, TIMEOUT_S, **options)
        self._people = AtWork()
        self._dispatch = Dispatch(self._make_workers(), self._people)
        self._patient: Dispatch | None = None
        self._starting, self._lock = Lock(), Lock()
        self._numbers = count(1)
        self._streams: dict[int, _Stream] = {}
        self._room = [followed] * workers
        self._thinned = THINNED.labels("transcribe")

    @property
    def process_ids(self) -> list[int | None]:
        return [process_id for dispatch in self._pools for process_id in dispatch.process_ids]

    @property
    def _pools(self) -> list[Dispatch]:
        return [self._dispatch] if self._patient is None else [self._dispatch, self._patient]

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        number = next(self._numbers)
        if not is_urgent:
            with self._starting:
                self._patient = self._patient or Dispatch(self._make_workers(ahead=self._people.count))
        with self._lock:
            self._streams[number] = _Stream(options, wants_interims, is_urgent, is_followed=is_urgent)
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        started: list[tuple[Advance, _Stream, Future[Heard] | None]] = []
        with self._lock:
            for step in work:
                stream = self._streams[step.stream]
                stream.pcm += _pcm(step.samples)
                started.append((step, stream, self._finish(step, stream) if step.is_last else self._follow(step, stream)))
        return self._gather(started)

    def discard(self, stream: int) -> None:
        with self._lock:
            known = self._streams.pop(stream, None)
            if known is not None:
                self._leave(stream, known)

    def check(self) -> None:
        for dispatch in self._pools:
            dispatch.check()

    def close(self) -> None:
        with self._starting:
            for dispatch in self._pools:
                dispatch.close()
            self._patient = self._patient or self._dispatch  # whoever comes later finds it closed

    # --- under the lock: nothing here waits ------------------------------------------------------------------------------

    def _finish(self, step: Advance, stream: _Stream) -> Future[Heard]:
        end = max(0, len(stream.pcm) - 2 * step.surplus_samples)
        is_whole = stream.worker is None or stream.sent_bytes > end
        start = 0 if is_whole else stream.sent_bytes
        del stream.pcm[end:]
        return self._pool(stream).submit(
            Urgency.FINAL, stream.worker, "finish", step.stream, start, bytes(stream.pcm[start:]), stream.options.vocabulary
        )

    def _follow(self, step: Advance, stream: _Stream) -> Future[Heard] | None:
        if not stream.is_followed:
            return None
        likely = len(stream.pcm) - 2 * step.surplus_samples
        until = max(stream.sent_bytes, likely // BLOCK_BYTES * BLOCK_BYTES)
        if (stream.worker is None and (stream.sent_bytes or not self._take_room(stream))) or until - stream.sent_bytes > LATEST_BYTES:
            self._leave(step.stream, stream)
            self._thin(stream)
            return None
        if until == stream.sent_bytes:
            return None
        start, stream.sent_bytes = stream.sent_bytes, until
        pcm = bytes(stream.pcm[start:until])
        return self._dispatch.submit(Urgency.INTERIM, stream.worker, "follow", step.stream, start, pcm, stream.options.vocabulary)

    def _pool(self, stream: _Stream) -> Dispatch:
        return self._dispatch if stream.is_urgent or self._patient is None else self._patient

    def _take_room(self, stream: _Stream) -> bool:
        worker = max(range(len(self._room)), key=self._room.__getitem__)
        if self._room[worker] == 0:
            return False
        self._room[worker] -= 1
        stream.worker = worker
        return True

    def _leave(self, number: int, stream: _Stream) -> None:
        if stream.worker is not None:
            if stream.sent_bytes:
                self._dispatch.submit(Urgency.FINAL, stream.worker, "leave", number)
            self._give_room(stream)

    def _thin(self, stream: _Stream) -> None:
        stream.is_followed = False
        if stream.wants_interims:
            self._thinned.inc()

    def _give_room(self, stream: _Stream) -> None:
        if stream.worker is not None:
            self._room[stream.worker] += 1
            stream.worker = None

    # --- waiting -----------------------------------------------------------------------------------------------------------

    def _gather(self, started: Sequence[tuple[Advance, _Stream, Future[Heard] | None]]) -> list[Hypothesis | None]:
        wait([future for _, _, future in started if future is not None])
        try:
            return [self._answer(step, stream, future) for step, stream, future in started]
        except Exception:
            for step, _, _ in started:
                self.discard(step.stream)
            raise

    def _answer(self, step: Advance, stream: _Stream, future: Future[Heard] | None) -> Hypothesis | None:
        heard = future.result() if future is not None else None
        if not step.is_last:
            if future is not None and heard is None:
                self._lose(stream)
            return stream.hear(heard) if heard is not None else None
        if heard is None:  # the process that followed it has been replaced
            again = self._pool(stream).submit(Urgency.FINAL, None, "finish", step.stream, 0, bytes(stream.pcm), stream.options.vocabulary)
            heard = again.result() or ()
        with self._lock:
            del self._streams[step.stream]
            self._give_room(stream)
        return final_of(heard, len(stream.pcm) // 2)

    def _lose(self, stream: _Stream) -> None:
        with self._lock:
            self._give_room(stream)
            self._thin(stream)


def final_of(heard: Words, samples: int) -> Hypothesis:
    """The final of an utterance of so many samples; its confidence is that of its words, weighted by their length.

    What the search itself is unsure of and no speech sounds like is taken for noise, and gives an empty final.
    """
    words = tuple(Word(text, start_s, min(end_s, seconds(samples)), round(confidence, 3)) for text, start_s, end_s, confidence in heard)
    spoken_s = sum(word.end_s - word.start_s for word in words)
    confidence = sum(word.confidence * (word.end_s - word.start_s) for word in words) / spoken_s if spoken_s else 0.0
    if _is_noise(confidence, len(words), seconds(samples)):
        return Hypothesis("", (), 0.0, samples, LANGUAGE)
    return Hypothesis(" ".join(word.text for word in words), words, round(confidence, 3), samples, LANGUAGE)


def _is_noise(confidence: float, words: int, duration_s: float) -> bool:
    """Measured on 47 clips of speech and 3 minutes of white, pink and real noise: no speech lost, two thirds of the noise words gone.

    Stationary noise and silence give no words in the first place. Isolated words are so short that their confidence says little.
    """
    if duration_s < SHORTEST_JUDGED_S:
        return False
    return confidence < LEAST_CONFIDENCE or (confidence < LEAST_CONFIDENCE_SPARSE and words / duration_s < SPARSE_WORDS_PER_SECOND)


def _pcm(samples: Float32Array) -> bytes:
    """What is no number is silence: one bad sample must not spoil the means of an utterance."""
    return pcm_s16le_from_float32(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0))


def _model_digest() -> str:
    """SHA-256 over the bundled model's files, in the order of their names."""
    digest = hashlib.sha256()
    folder = Path(pocketsphinx.get_model_path("en-us"))
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"
