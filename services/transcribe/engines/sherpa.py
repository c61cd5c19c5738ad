"""Streaming transducers on sherpa-onnx 2.0 (Apache-2.0), in worker processes: https://github.com/k2-fsa/sherpa-onnx.

A transducer hears each chunk once and never thinks again: interims cost nothing beyond the final. It cannot take audio back either: what
may lie behind the utterance's end is held until that is known, and where too much was heard all the same, the final is decoded from its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from math import exp
from pathlib import Path
from threading import Lock

import numpy as np
import sherpa_onnx

from services.transcribe.engine import Advance, Hypothesis, StreamOptions
from voxrelay.audio import seconds
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import Engine, Word
from voxrelay.workers import WorkerFailed, Workers

DECODING = "services.transcribe.engines.sherpa_decoding:Decoding"
TIMEOUT_S = 180.0
SAMPLE_BYTES = 4
PIECE_S = 0.04  # one frame of the encoder: how long the last piece of a word is taken to last
WORD_START = ("\u2581", " ")
PARTS = ("encoder", "decoder", "joiner")
__version__ = sherpa_onnx.version  # the library is here: what it does happens in the workers

Pieces = tuple[tuple[str, float, float], ...]


@dataclass(slots=True)
class _Stream:
    """``heard`` is the whole utterance in float32, 64 kB/s; its first ``taken`` samples were given to the model."""

    options: StreamOptions
    wants_interims: bool
    worker: int
    is_new: bool = True
    taken: int = 0
    heard: bytearray = field(default_factory=bytearray)
    said: Pieces = ()

    def take(self, step: Advance) -> tuple[tuple[str, ...] | None, bytes]:
        """The samples to listen to now; with the vocabulary where that begins anew."""
        fresh = np.nan_to_num(step.samples, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0).astype(np.float32, copy=False)
        self.heard += fresh.tobytes()
        end = max(0, len(self.heard) // SAMPLE_BYTES - step.surplus_samples)
        if step.is_last and end < self.taken:
            self.is_new, self.taken = True, 0
        start, self.taken = self.taken, max(end, self.taken)
        vocabulary = self.options.vocabulary if self.is_new else None
        self.is_new = False
        return vocabulary, bytes(self.heard[SAMPLE_BYTES * start : SAMPLE_BYTES * self.taken])


class SherpaTranscriber:
    """Streams are spread over ``workers`` processes; those of one process are decoded together, up to ``batch`` in a call of the model."""

    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        workers: int = 1,
        threads: int = 1,
        provider: str = "cpu",
        batch: int = 8,
        boost: float = 1.5,
        language: str = "en",
    ) -> None:
        """``weights`` is a folder with ``encoder*.onnx``, ``decoder*.onnx``, ``joiner*.onnx`` and ``tokens.txt``, and perhaps ``bpe.vocab``.

        ``language`` is what the model was trained on. Raises ``EngineUnusable`` when they cannot be run.
        """
        if provider != "cpu":
            raise EngineUnusable("sherpa-onnx from the package index runs on the CPU alone: set VOXRELAY_ONNX_PROVIDER to cpu.")
        files = _files(weights)
        try:
            self._workers = Workers(DECODING, workers, TIMEOUT_S, files=files, threads=threads, provider=provider, batch=batch, boost=boost)
        except (WorkerFailed, Unavailable) as error:  # a model that does not suit it ends the process
            raise EngineUnusable(f"{weights} cannot be run as a streaming transducer by sherpa-onnx: choose such a model.") from error
        self.engine = Engine("sherpa-onnx", version("sherpa-onnx"), model_digest)
        self.languages = (language,)
        self._lock = Lock()
        self._numbers = count(1)
        self._streams: dict[int, _Stream] = {}

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        number = next(self._numbers)
        with self._lock:
            self._streams[number] = _Stream(options, wants_interims and is_urgent, number % len(self._workers))
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        with self._lock:
            streams = [self._streams[step.stream] for step in work]
        calls: dict[int, list[tuple[int, tuple[str, ...] | None, bytes, bool]]] = {}
        for step, stream in zip(work, streams, strict=True):
            calls.setdefault(stream.worker, []).append((step.stream, *stream.take(step), step.is_last))
        try:
            answers = self._workers.call_all([(worker, "advance", (steps,)) for worker, steps in calls.items()])
            heard = {steps[place][0]: pieces for steps, answer in zip(calls.values(), answers, strict=True) for place, pieces in enumerate(answer)}
            if None in heard.values():
                raise Unavailable("A recogniser's process was replaced; what it had heard is gone.")
        except (WorkerFailed, Unavailable) as error:
            for step in work:
                self.discard(step.stream)
            raise Unavailable("A recogniser's process could not transcribe; a fresh one takes its place.") from error
        with self._lock:
            for step in work:
                if step.is_last:
                    self._streams.pop(step.stream, None)
        return [self._answer(step, stream, heard[step.stream]) for step, stream in zip(work, streams, strict=True)]

    def discard(self, stream: int) -> None:
        with self._lock:
            known = self._streams.pop(stream, None)
        if known is not None and not known.is_new:
            try:
                self._workers.call(known.worker, "discard", [stream])
            except (WorkerFailed, Unavailable):
                return  # with the process the stream is gone as well

    def check(self) -> None:
        try:
            self._workers.call_all([(index, "answer", ()) for index in range(len(self._workers))])
        except WorkerFailed as error:
            raise Unavailable("A recogniser's process does not answer.") from error

    def close(self) -> None:
        self._workers.close()
        with self._lock:
            self._streams.clear()

    def _answer(self, step: Advance, stream: _Stream, pieces: Pieces) -> Hypothesis | None:
        if not step.is_last and (not stream.wants_interims or pieces == stream.said):
            return None
        stream.said = pieces
        words = words_of(pieces, seconds(stream.taken))
        confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
        return Hypothesis(" ".join(word.text for word in words), words, round(confidence, 3), stream.taken, self.languages[0])


def words_of(pieces: Pieces, end_s: float) -> tuple[Word, ...]:
    """Pieces joined to words; a word is as sure as its least sure piece. It ends where the next begins, or soon after its last piece."""
    spelt: list[tuple[str, float, float, float]] = []  # text, first and last time, probability
    for text, at_s, log_probability in pieces:
        at_s, bare, sureness = min(max(at_s, 0.0), end_s), text.lstrip("".join(WORD_START)), min(exp(log_probability), 1.0)
        if spelt and not text.startswith(WORD_START):
            before, start_s, _, least = spelt[-1]
            spelt[-1] = (before + bare, start_s, max(at_s, start_s), min(least, sureness))
        else:
            spelt.append((bare, at_s, at_s, sureness))
    spelt = [word for word in spelt if word[0]]
    starts_s = [*(start_s for _, start_s, _, _ in spelt[1:]), end_s][: len(spelt)]
    return tuple(
        Word(text, round(start_s, 3), round(max(start_s, min(last_s + PIECE_S, following_s)), 3), round(sureness, 3))
        for (text, start_s, last_s, sureness), following_s in zip(spelt, starts_s, strict=True)
    )


def _files(folder: Path) -> dict[str, str]:
    """Of each part the file to take: the smaller arithmetic where there are two. Raises ``EngineUnusable`` where one is missing."""
    found = {"tokens": folder / "tokens.txt"}
    for part in PARTS:
        candidates = sorted(folder.glob(f"{part}*.onnx"), key=lambda path: (".int8." not in path.name, path.name))
        found[part] = candidates[0] if candidates else folder / f"{part}.onnx"
    if (folder / "bpe.vocab").is_file():
        found["bpe_vocab"] = folder / "bpe.vocab"
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        raise EngineUnusable(f"{folder} is no streaming transducer, for it lacks {', '.join(missing)}: choose a model of sherpa-onnx.")
    return {part: str(path) for part, path in found.items()}
