"""espeak-ng 1.52 (GPL-3, in worker processes): some 140 languages, very fast, and recognisably a machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import cast

import espeakng_loader  # Python alone: only the worker processes load the library it brings

from services.synth.engine import Gender, Piece, VoiceInfo, WordMark
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import Engine
from voxrelay.workers import WorkerFailed, Workers

SPEAKING = "services.synth.engines.espeak_speaking:Speaking"
TIMEOUT_S = 30.0
USUAL = {"en": "en-us", "fr": "fr-fr", "zh": "cmn"}  # where the library's own order would take a rare variety
WITHOUT_DICTIONARY = frozenset({"gmq/fo", "trk/kaa", "art/xex"})  # listed, but the wheel lacks what they would be pronounced by
VARIANTS: tuple[tuple[str, Gender], ...] = (
    ("f2", "female"),
    ("m3", "male"),
    ("f4", "female"),
    ("m7", "male"),
    ("f5", "female"),
    ("m1", "male"),
    ("f3", "female"),
)  # other speakers of the same language; each next to one that it is not mistaken for


class EspeakSynthesizer:
    """A voice's id is its language's tag, for another speaker with a variant: ``en-us``, ``en-us+f2``. Speeds go from 0.46 to 4."""

    def __init__(self, workers: int = 1) -> None:
        """Raises ``EngineUnusable`` when the library does not work here."""
        try:
            self._workers = Workers(SPEAKING, workers, TIMEOUT_S)
        except WorkerFailed as error:
            raise EngineUnusable("The synth engine 'espeak' does not start here: pip install 'voxrelay[synth]'.") from error
        version, self.sample_rate_hz, listed = self._workers.call(0, "describe")
        self.engine = Engine("espeak-ng", version, _digest())
        bases = _bases(listed)
        self._identifiers = {voice.id: identifier for identifier, voice in bases}
        self._voices = tuple(_with_variants([voice for _, voice in bases]))
        self._known = {voice.id for voice in self._voices}
        self._free: SimpleQueue[int] = SimpleQueue()
        for index in range(workers):
            self._free.put(index)

    @property
    def process_ids(self) -> list[int | None]:
        return self._workers.process_ids

    def voices(self) -> tuple[VoiceInfo, ...]:
        return self._voices

    def speak(self, text: str, voice: str, speed: float) -> Iterator[Piece]:
        """All of the sentence in one piece: that takes milliseconds."""
        if voice not in self._known:
            raise KeyError(voice)
        base, has_variant, variant = voice.partition("+")
        with self._worker() as index:
            pcm_s16le, words = self._workers.call(index, "speak", text, self._identifiers[base] + has_variant + variant, speed)
        yield Piece(pcm_s16le, tuple(WordMark(word, round(start_s, 6)) for word, start_s in words))

    def check(self) -> None:
        """Asks a worker; while all of them speak there is nothing to ask."""
        try:
            index = self._free.get_nowait()
        except Empty:
            return
        try:
            self._workers.call(index, "answer")
        except WorkerFailed as error:
            raise Unavailable("The process that speaks does not start.") from error
        finally:
            self._free.put(index)

    def close(self) -> None:
        self._workers.close()

    @contextmanager
    def _worker(self) -> Iterator[int]:
        """A worker of one's own, whichever is free first."""
        index = self._free.get()
        try:
            yield index
        finally:
            self._free.put(index)


def _bases(listed: Iterable[tuple[str, str, str, str]]) -> list[tuple[str, VoiceInfo]]:
    """Library identifier and voice, one for each tag, sorted by tag; without those whose pronunciations are missing from the wheel.

    Each voice is that of its first tag; a tag that is no voice's first (``zh``) gets its usual voice, or the first that also has it.
    """
    first: dict[str, tuple[str, VoiceInfo]] = {}
    also: dict[str, tuple[str, VoiceInfo]] = {}
    seen: set[str] = set()
    for identifier, name, tag, gender in listed:
        if identifier in WITHOUT_DICTIONARY:
            continue
        group = also if identifier in seen else first
        group.setdefault(tag, (identifier, VoiceInfo(tag, name, tag, cast(Gender, gender))))
        seen.add(identifier)
    for tag, (identifier, voice) in also.items():
        if tag not in first:
            usual, named = first.get(USUAL.get(tag, ""), (identifier, voice))
            first[tag] = usual, VoiceInfo(tag, named.name, tag, named.gender)
    return [first[tag] for tag in sorted(first)]


def _with_variants(bases: Iterable[VoiceInfo]) -> Iterator[VoiceInfo]:
    for voice in bases:
        yield voice
        for variant, gender in VARIANTS:
            yield VoiceInfo(f"{voice.id}+{variant}", f"{voice.name}, {variant}", voice.language, gender)


def _digest() -> str:
    """SHA-256 over the library and its data, in the order of their names: together they decide how a sentence sounds."""
    digest = hashlib.sha256()
    data = Path(espeakng_loader.get_data_path())
    for path in [Path(espeakng_loader.get_library_path()), *sorted(path for path in data.rglob("*") if path.is_file())]:
        digest.update(path.relative_to(data.parent).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"
