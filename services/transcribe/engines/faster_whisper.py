"""Whisper on CTranslate2 through faster-whisper 1.2 (MIT): https://github.com/SYSTRAN/faster-whisper.

An utterance is 30 s at most, one window of the model: its final is one decoding of the whole, and an interim one of what is there so
far. Text before the utterance is never a prompt (a mistake would breed others), and sampling is never used, so the same audio gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count, groupby
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens
from faster_whisper.vad import VadOptions, get_speech_timestamps

from services.transcribe.engine import Advance, Hypothesis, StreamOptions
from services.transcribe.engines.agreement import LocalAgreement
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, seconds
from voxrelay.batches import Batches
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import Engine, Word

WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 10
NO_SPEECH_PROBABILITY = 0.6  # together with the next: Whisper's own rule for silence
LEAST_LOG_PROBABILITY = -1.0
MOST_REPETITION = 2.4  # text that compresses better than this goes round in circles: it is decoded once more without
CIRCLE_WORDS = 3
MOST_PROMPT_TOKENS = 223  # half of what the decoder holds, less one
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"

_SPEECH = VadOptions(min_silence_duration_ms=500, speech_pad_ms=0)


@dataclass(slots=True)
class _Stream:
    options: StreamOptions
    wants_interims: bool
    parts: list[Float32Array] = field(default_factory=list)
    agreement: LocalAgreement = field(default_factory=LocalAgreement)
    decoded_samples: int = 0

    def audio(self, surplus_samples: int) -> Float32Array:
        whole = np.concatenate(self.parts) if self.parts else np.zeros(0, dtype=np.float32)
        self.parts = [whole]
        return whole[: max(0, whole.size - surplus_samples)]


@dataclass(frozen=True, slots=True)
class _Due:
    """One window to decode. ``place`` is whose answer it belongs to, ``start_s`` where in the utterance it begins."""

    place: int
    start_s: float
    samples: Float32Array
    options: StreamOptions
    beam: int
    prompt: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Decoded:
    words: tuple[Word, ...]
    language: str


class FasterWhisperTranscriber:
    """Up to ``batch`` windows of any sessions in one call of the model; calls of several threads queue up. An open stream keeps its audio: 64 kB/s.

    On a CPU with float32 a row's text does not depend on the others; scores may differ in their last bits, which rounding takes away.
    """

    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        device: str = "auto",
        compute: str = "default",
        threads: int = 1,
        batch: int = 8,
        beam: int = 5,
        is_translating: bool = False,
    ) -> None:
        """``weights`` is the folder of a CTranslate2 Whisper model. Raises ``EngineUnusable`` when it cannot be read or run there."""
        try:
            self._model = WhisperModel(str(weights), device=device, compute_type=compute, cpu_threads=threads, local_files_only=True)
        except Exception as error:  # CTranslate2 raises RuntimeError and ValueError for everything
            raise EngineUnusable(f"{weights} cannot be run as a Whisper model on {device} with {compute}: {_sentence(error)}") from error
        self.engine = Engine("faster-whisper", version("faster-whisper"), model_digest)
        self.languages: tuple[str, ...] = tuple(self._model.supported_languages)
        self._task = "translate" if is_translating and self._model.model.is_multilingual else "transcribe"
        self._batches, self._beam = Batches(batch), beam
        self._prompter = self._tokenizer("en")
        self._suppressed = list(get_suppressed_tokens(self._prompter, [-1]))
        self._lock = Lock()
        self._numbers = count(1)
        self._streams: dict[int, _Stream] = {}
        self._is_closed = False

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        number = next(self._numbers)
        with self._lock:
            self._streams[number] = _Stream(options, wants_interims and is_urgent)
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        self.check()
        with self._lock:
            streams = [self._streams[step.stream] for step in work]
        heard: list[Float32Array] = []
        due: list[_Due] = []
        for place, (step, stream) in enumerate(zip(work, streams, strict=True)):
            stream.parts.append(np.nan_to_num(step.samples, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0))
            samples = stream.audio(step.surplus_samples) if step.is_last or stream.wants_interims else np.zeros(0, dtype=np.float32)
            heard.append(samples)
            if step.is_last or samples.size > stream.decoded_samples:
                stream.decoded_samples = samples.size
                due.extend(self._windows(place, samples, stream.options, self._beam if step.is_last else 1))
        decoded: list[list[_Decoded]] = [[] for _ in work]
        try:
            for one, answer in self._decode(due):
                decoded[one.place].append(answer)
        except Exception:
            for step in work:
                self.discard(step.stream)
            raise
        for step in work:
            if step.is_last:
                self.discard(step.stream)
        return [_answer(*item) for item in zip(work, streams, heard, decoded, strict=True)]

    def discard(self, stream: int) -> None:
        with self._lock:
            self._streams.pop(stream, None)

    def check(self) -> None:
        if self._is_closed:
            raise Unavailable("The transcriber has been closed.")

    def close(self) -> None:
        self._is_closed = True
        with self._lock:
            self._streams.clear()

    # --- what is to be decoded -------------------------------------------------------------------------------------------

    def _windows(self, place: int, samples: Float32Array, options: StreamOptions, beam: int) -> Iterator[_Due]:
        """The 30 s windows of an utterance in which somebody speaks."""
        prompt = self._prompt(options.vocabulary)
        for start in range(0, samples.size, WINDOW_SAMPLES):
            window = samples[start : start + WINDOW_SAMPLES]
            if window.size >= SHORTEST_SAMPLES and get_speech_timestamps(window, _SPEECH):
                yield _Due(place, seconds(start), window, options, beam, prompt)

    def _prompt(self, vocabulary: Sequence[str]) -> tuple[int, ...]:
        """Terms to prefer, as text that might have come before."""
        if not vocabulary:
            return ()
        tokens: list[int] = self._prompter.encode(" " + ", ".join(term.strip() for term in vocabulary))
        return (self._prompter.sot_prev, *tokens[:MOST_PROMPT_TOKENS])

    def _tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(self._model.hf_tokenizer, self._model.model.is_multilingual, task=self._task, language=language)

    # --- decoding ----------------------------------------------------------------------------------------------------------

    def _decode(self, due: Sequence[_Due]) -> Iterator[tuple[_Due, _Decoded]]:
        """In order of the work for each place. Only prompts of one length and searches of one width fit into one batch."""

        def kind(one: _Due) -> tuple[int, int]:
            return one.beam, len(one.prompt)

        for _, group in groupby(sorted(due, key=kind), kind):
            rows = list(group)
            yield from zip(rows, self._batches.run(rows, self._decode_batch), strict=True)

    def _decode_batch(self, rows: Sequence[_Due]) -> list[_Decoded]:
        features = np.stack([self._features(row.samples) for row in rows])
        encoded = self._model.encode(features)
        languages = self._languages([row.options.language for row in rows], encoded)
        prompts = [[*row.prompt, *self._tokenizer(language).sot_sequence] for row, language in zip(rows, languages, strict=True)]
        tokens = self._generate(encoded, prompts, rows[0].beam)
        circling = [place for place, found in enumerate(tokens) if get_compression_ratio(self._prompter.decode(found).strip()) > MOST_REPETITION]
        if circling:
            again = self._generate(self._model.encode(features[circling]), [prompts[place] for place in circling], rows[0].beam, CIRCLE_WORDS)
            for place, found in zip(circling, again, strict=True):
                tokens[place] = found
        results = [_Decoded((), language) for language in languages]
        for language in sorted(set(languages)):  # the alignment is asked for in one language at a time
            of = [place for place, one in enumerate(languages) if one == language and any(token < self._prompter.eot for token in tokens[place])]
            if of:
                part = encoded if len(of) == len(rows) else self._model.encode(features[of])
                for place, words in zip(of, self._words(part, language, [tokens[p] for p in of], [rows[p] for p in of]), strict=True):
                    results[place] = _Decoded(words, language)
        return results

    def _features(self, samples: Float32Array) -> Float32Array:
        """Shape (mel channels, 3000): 30 s, padded with what silence looks like to the model."""
        made = self._model.feature_extractor(np.pad(samples, (0, WINDOW_SAMPLES - samples.size)), padding=0)
        return np.asarray(made[:, : self._model.feature_extractor.nb_max_frames], dtype=np.float32)

    def _languages(self, asked: Sequence[str], encoded: Any) -> list[str]:
        """What was asked for, where the model has it; else what it sounds like."""
        named = [tag.lower().split("-")[0] for tag in asked]
        if not self._model.model.is_multilingual:
            return ["en"] * len(named)
        if all(tag in self.languages for tag in named):
            return named
        likeliest = [found[0][0].strip("<|>") for found in self._model.model.detect_language(encoded)]
        return [tag if tag in self.languages else heard for tag, heard in zip(named, likeliest, strict=True)]

    def _generate(self, encoded: Any, prompts: list[list[int]], beam: int, circle_words: int = 0) -> list[list[int]]:
        """Tokens of each row; none where the model itself takes what it heard for silence."""
        found = self._model.model.generate(
            encoded,
            prompts,
            beam_size=beam,
            no_repeat_ngram_size=circle_words,
            max_length=self._model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )
        kept: list[list[int]] = []
        for one in found:
            tokens = list(one.sequences_ids[0])
            mean = one.scores[0] * len(tokens) / (len(tokens) + 1)
            is_silence = one.no_speech_prob > NO_SPEECH_PROBABILITY and mean < LEAST_LOG_PROBABILITY
            kept.append([] if is_silence else tokens)
        return kept

    def _words(self, encoded: Any, language: str, tokens: Sequence[list[int]], rows: Sequence[_Due]) -> list[tuple[Word, ...]]:
        """Words with times and probabilities, from the model's attention to the audio."""
        tokenizer = self._tokenizer(language)
        frames = [row.samples.size // self._model.feature_extractor.hop_length for row in rows]
        lengths_s = [seconds(row.samples.size) for row in rows]
        segments: list[list[dict[str, Any]]] = [
            [{"tokens": found, "seek": 0, "start": 0.0, "end": length_s}] for found, length_s in zip(tokens, lengths_s, strict=True)
        ]
        self._model.add_word_timestamps(segments, tokenizer, encoded, frames, PREPENDED, APPENDED, 0.0)
        return [_in_order(segment[0].get("words", ()), row) for segment, row in zip(segments, rows, strict=True)]


def _in_order(found: Sequence[dict[str, Any]], row: _Due) -> tuple[Word, ...]:
    """Within the utterance and never backwards, which the attention does not promise."""
    words: list[Word] = []
    end_s, earliest_s = row.start_s + seconds(row.samples.size), row.start_s
    for one in found:
        text = str(one["word"]).strip()
        if text:
            starts_s = min(max(row.start_s + float(one["start"]), earliest_s), end_s)
            earliest_s = min(max(row.start_s + float(one["end"]), starts_s), end_s)
            words.append(Word(text, round(starts_s, 3), round(earliest_s, 3), round(min(max(float(one["probability"]), 0.0), 1.0), 3)))
    return tuple(words)


def _answer(step: Advance, stream: _Stream, samples: Float32Array, decoded: Sequence[_Decoded]) -> Hypothesis | None:
    words = tuple(word for one in decoded for word in one.words)
    language = decoded[0].language if decoded else stream.options.language.lower().split("-")[0] or "en"
    if not step.is_last:
        if not stream.wants_interims:
            return None
        words = stream.agreement.hear(words) if decoded else tuple(stream.agreement.said)
        if not words:
            return None
    confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
    return Hypothesis(" ".join(word.text for word in words), words, round(confidence, 3), samples.size, language)


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "." if str(error).strip() else f"{type(error).__name__}."
