"""What runs inside a worker process: sherpa-onnx (Apache-2.0), which ends its process where a model or a setting does not suit it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sherpa_onnx

from voxrelay.audio import SAMPLE_RATE_HZ

TAIL_SAMPLES = SAMPLE_RATE_HZ * 4 // 5  # of silence: the model looks ahead, and says the last word only when it has seen behind it

Pieces = tuple[tuple[str, float, float], ...]  # a piece of a word, when it was heard in seconds, logarithm of its probability
Step = tuple[int, tuple[str, ...] | None, bytes, bool]  # stream; vocabulary of a stream that is new; float32 samples; whether they are the last


class Decoding:
    """The object a worker process serves: one recogniser, and the streams that the caller opened in it."""

    def __init__(self, files: dict[str, str], threads: int, provider: str, batch: int, boost: float) -> None:
        """``files`` are those of ``OnlineRecognizer.from_transducer``. With a ``bpe_vocab`` streams can prefer terms, which takes a wider search."""
        self._has_vocabulary = "bpe_vocab" in files
        search = {"decoding_method": "modified_beam_search", "modeling_unit": "bpe", "hotwords_score": boost} if self._has_vocabulary else {}
        self._recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
            **files, **search, num_threads=threads, provider=provider, enable_endpoint_detection=False
        )
        self._letters = {line.split()[0] for line in Path(files["tokens"]).read_text(encoding="utf-8").splitlines() if line.split()}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the library writes a session's terms there; what is raised here goes through the pipe
        self._batch = batch
        self._streams: dict[int, Any] = {}

    def advance(self, work: Sequence[Step]) -> list[Pieces | None]:
        """What each stream has heard so far, all of it where its last samples came; None for a stream that this process never had."""
        for number, vocabulary, samples, is_last in work:
            if vocabulary is not None:
                self._streams[number] = self._opened(vocabulary)
            stream = self._streams.get(number)
            if stream is not None:
                stream.accept_waveform(SAMPLE_RATE_HZ, np.frombuffer(samples, dtype=np.float32))
                if is_last:
                    stream.accept_waveform(SAMPLE_RATE_HZ, np.zeros(TAIL_SAMPLES, dtype=np.float32))
                    stream.input_finished()
        self._decode([self._streams[number] for number, _, _, _ in work if number in self._streams])
        heard = [self._heard(number) for number, _, _, _ in work]
        self.discard([number for number, _, _, is_last in work if is_last])
        return heard

    def discard(self, streams: Sequence[int]) -> None:
        for number in streams:
            self._streams.pop(number, None)

    def answer(self) -> None:
        """Nothing: that it comes back is what the caller wants to know."""

    def _opened(self, vocabulary: tuple[str, ...]) -> Any:
        terms = spellable(vocabulary, self._letters) if self._has_vocabulary else []
        return self._recognizer.create_stream(hotwords="/".join(terms)) if terms else self._recognizer.create_stream()

    def _decode(self, streams: Sequence[Any]) -> None:
        """One chunk of each stream that has one, in batches, until none has."""
        while ready := [stream for stream in streams if self._recognizer.is_ready(stream)]:
            for first in range(0, len(ready), self._batch):
                self._recognizer.decode_streams(ready[first : first + self._batch])

    def _heard(self, number: int) -> Pieces | None:
        stream = self._streams.get(number)
        if stream is None:
            return None
        result = self._recognizer.get_result_all(stream)
        sureness = [*result.ys_probs, *[0.0] * len(result.tokens)]  # of some searches it gives none
        return tuple(zip(result.tokens, result.timestamps, sureness, strict=False))


def spellable(vocabulary: Sequence[str], tokens: Collection[str]) -> list[str]:
    """The terms that the model has letters for, in the case it writes in: one that it cannot spell would make the library drop all of them."""
    found = []
    for term in (term.replace("/", " ").strip() for term in vocabulary):
        fitting = (written for written in (term, term.upper(), term.lower()) if all(letter in tokens for letter in written if letter != " "))
        found += [written for written in [next(fitting, "")] if written]
    return found
