"""Voices of Piper on ONNX Runtime: https://github.com/rhasspy/piper (voices MIT; each has a model card of its own).

Method: J. Kim et al., "Conditional variational autoencoder with adversarial learning for end-to-end text-to-speech" (VITS), ICML 2021. The
library ``piper-tts`` is GPL-3 and is not used: a voice is one graph, from phonemes to samples. The phonemes are espeak-ng's (GPL-3 too), from a
worker process.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from services.synth.engine import Mark, Sentence, Spoken, Voice
from voxrelay.audio import pcm_s16le_from_float32
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import Engine
from voxrelay.onnx import OnnxModel, notes
from voxrelay.workers import WorkerFailed, Workers

PHONEMES = "services.synth.engines.espeak_phonemes:Phonemes"
TIMEOUT_S = 30.0
START, END, PAD = "^", "$", "_"
MOST_PHONEMES = 400  # in one call of the graph, whose memory grows with the square of them
VARIANT = re.compile(r"[fm]\d")  # what the bundled engine calls its speakers
HINT = "choose a voice of Piper"


class PiperSynthesizer:
    """One language, one speaker or several: ``en-us``, ``en-us+NAME``. Up to ``workers`` sentences side by side, in threads.

    The graph's own randomness is turned down to nothing, so the same sentence gives the same samples; that costs some liveliness. It tells no
    times, so a word's place is estimated from the share of the text that comes before it.
    """

    def __init__(self, weights: Path, model_digest: str = "", workers: int = 1, **runtime: Any) -> None:
        """``weights`` is a folder with ``NAME.onnx`` and ``NAME.onnx.json``. Raises ``EngineUnusable`` where they are not, or cannot be used."""
        facts = _facts(weights)
        try:
            self._ids: dict[str, list[int]] = {str(symbol): [int(one) for one in ids] for symbol, ids in facts["phoneme_id_map"].items()}
            self.sample_rate_hz = int(facts["audio"]["sample_rate"])
            self._length = float(facts["inference"]["length_scale"])
            self._speakers: dict[str, int] = {str(name).lower(): int(one) for name, one in facts.get("speaker_id_map", {}).items()}
            language, voice, several = (
                str(facts["language"]["code"]).replace("_", "-").lower(),
                str(facts["espeak"]["voice"]),
                facts["num_speakers"] > 1,
            )
            self._start, self._end, self._pad = (self._ids[symbol] for symbol in (START, END, PAD))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EngineUnusable(f"{weights} does not describe its voice as Piper does: {HINT}.") from error
        inputs = ("input", "input_lengths", "scales", *(("sid",) if several else ()))
        self._model = OnnxModel(next(weights.glob("*.onnx")), inputs=inputs, hint=HINT, **runtime)
        try:
            self._workers = Workers(PHONEMES, 1, TIMEOUT_S, voice=voice)
        except WorkerFailed as error:
            raise EngineUnusable(f"espeak-ng cannot pronounce '{voice}' here, which the voice needs: pip install 'voxrelay[piper]'.") from error
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="piper")
        self._voices = (Voice(language, language, ""), *(Voice(f"{language}+{name}", language, "") for name in self._speakers))
        self.at_once = workers
        self.engine = Engine("piper", "1", model_digest)

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def find(self, name: str) -> Voice | None:
        """A variant of the bundled engine's (``+f3``) is one of the speakers, always the same; the only one where there are no others."""
        usual = self._voices[0]
        base, has_variant, variant = name.lower().partition("+")
        if base not in (usual.name, usual.language.partition("-")[0]):
            return None
        if not has_variant:
            return usual
        if variant in self._speakers:
            return Voice(f"{usual.name}+{variant}", usual.language, "")
        if VARIANT.fullmatch(variant):
            return self._voices[1 + crc32(variant.encode()) % len(self._speakers)] if self._speakers else usual
        return None

    def speak(self, sentences: Sequence[Sentence]) -> list[Spoken]:
        try:
            clauses = [self._workers.call(0, "clauses", sentence.text) for sentence in sentences]
        except WorkerFailed as error:
            raise Poison("The engine cannot pronounce a sentence of the text.") from error
        try:
            return list(self._pool.map(self._spoken, sentences, clauses))
        except RuntimeError as error:
            raise Unavailable("The synthesizer has been closed.") from error

    def check(self) -> str | None:
        try:
            self._workers.call(0, "answer")
        except WorkerFailed as error:
            raise Unavailable("The process of espeak-ng does not start.") from error
        return notes(self._model)

    def close(self) -> None:
        self._workers.close()
        self._pool.shutdown(cancel_futures=True)

    def _spoken(self, sentence: Sentence, clauses: Sequence[str]) -> Spoken:
        speaker = self._speakers.get(sentence.voice.partition("+")[2], 0)
        pieces = [self._samples(phonemes, sentence.speed, speaker) for phonemes in _groups(clauses)]
        samples = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
        return Spoken(pcm_s16le_from_float32(samples), _marks(sentence.text, samples.size) if samples.size else ())

    def _samples(self, phonemes: str, speed: float, speaker: int) -> Any:
        known = [self._ids[symbol] for symbol in unicodedata.normalize("NFD", phonemes) if symbol in self._ids]
        ids = [*self._start, *self._pad, *(one for symbol in known for one in (*symbol, *self._pad)), *self._end]
        feed: dict[str, Any] = {
            "input": np.asarray([ids], dtype=np.int64),
            "input_lengths": np.asarray([len(ids)], dtype=np.int64),
            "scales": np.asarray([0.0, self._length / speed, 0.0], dtype=np.float32),
        }
        if len(self._speakers) > 1:
            feed["sid"] = np.asarray([speaker], dtype=np.int64)
        (made,) = self._model.run(feed)
        return np.nan_to_num(made.reshape(-1)).clip(-1.0, 1.0).astype(np.float32, copy=False)


def _facts(folder: Path) -> dict[str, Any]:
    descriptions = sorted(folder.glob("*.onnx.json"))
    if len(descriptions) != 1 or not descriptions[0].with_suffix("").is_file():
        raise EngineUnusable(f"{folder} holds no voice, which is a file NAME.onnx and a file NAME.onnx.json: {HINT}.")
    try:
        found = json.loads(descriptions[0].read_text(encoding="utf-8"))
    except ValueError as error:
        raise EngineUnusable(f"{descriptions[0]} cannot be read: {HINT}.") from error
    return found if isinstance(found, dict) else {}


def _groups(clauses: Sequence[str]) -> list[str]:
    """Clauses together as long as the graph may have them; one that is too long by itself is cut."""
    groups: list[str] = []
    for clause in clauses:
        for start in range(0, len(clause), MOST_PHONEMES):
            part = clause[start : start + MOST_PHONEMES]
            if groups and len(groups[-1]) + 1 + len(part) <= MOST_PHONEMES:
                groups[-1] += f" {part}"
            else:
                groups.append(part)
    return groups


def _marks(text: str, samples: int) -> tuple[Mark, ...]:
    """The words as they are written, without the punctuation around them, each where its letters begin in the text."""
    found, letters, before = [], sum(not character.isspace() for character in text), 0
    for token in text.split():
        bare = token.strip("".join(character for character in set(token) if not character.isalnum()))
        if bare:
            found.append(Mark(bare, samples * before // letters))
        before += len(token)
    return tuple(found)
