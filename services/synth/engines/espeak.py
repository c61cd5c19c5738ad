"""espeak-ng in worker processes: 100 languages, small and quick, and recognisably a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from threading import Lock

from services.synth.engine import Mark, Sentence, Spoken, Voice
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import Engine
from voxrelay.workers import WorkerFailed, Workers

SPEAKING = "services.synth.engines.espeak_speaking:Speaking"
TIMEOUT_S = 30.0


class EspeakSynthesizer:
    """A voice's name is its language's tag, with a variant if wanted: ``en-us``, ``en-gb+f3``. Speeds go from 0.46 to 4."""

    def __init__(self, workers: int = 1) -> None:
        """Raises ``EngineUnusable`` when the library does not work here."""
        try:
            self._workers = Workers(SPEAKING, workers, TIMEOUT_S)
            version, digest, self.sample_rate_hz, voices, variants = self._workers.call(0, "describe")
        except WorkerFailed as error:
            raise EngineUnusable("The synth engine 'espeak' does not start here: pip install 'voxrelay[synth]'.") from error
        self.engine = Engine("espeak-ng", version, digest)
        self.at_once = workers
        self._voices = tuple(Voice(language, language, gender) for language, (_, gender) in sorted(voices.items()))
        self._identifiers = {language: identifier for language, (identifier, _) in voices.items()}
        self._known = {voice.name: voice for voice in self._voices}
        self._variants = {name.lower(): (name, gender) for name, gender in variants}
        self._turn = count()
        self._lock = Lock()

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def find(self, name: str) -> Voice | None:
        base, has_variant, variant = name.lower().partition("+")
        voice = self._known.get(base)
        if voice is None or not has_variant:
            return voice
        if variant not in self._variants:
            return None
        exact, gender = self._variants[variant]
        return Voice(f"{base}+{exact}", voice.language, gender or voice.gender)

    def speak(self, sentences: Sequence[Sentence]) -> list[Spoken]:
        spoken: list[Spoken] = []
        for group in _groups(sentences, self.at_once):
            with self._lock:
                first = next(self._turn)
            calls = [((first + n) % self.at_once, "speak", (s.text, self._identifier(s.voice), s.speed)) for n, s in enumerate(group)]
            try:
                answers = self._workers.call_all(calls)
            except WorkerFailed as error:
                raise Poison("The engine cannot speak a sentence of the text.") from error
            spoken.extend(Spoken(pcm, tuple(Mark(text, start) for text, start in words)) for pcm, words in answers)
        return spoken

    def _identifier(self, name: str) -> str:
        base, has_variant, variant = name.partition("+")
        identifier: str = self._identifiers[base]
        return identifier + has_variant + variant

    def check(self) -> None:
        """Asks every process; one that has died is replaced by that, and is there again at the next asking."""
        try:
            self._workers.call_all([(index, "answer", ()) for index in range(self.at_once)])
        except WorkerFailed as error:
            raise Unavailable("A process of espeak-ng does not start.") from error

    def close(self) -> None:
        self._workers.close()


def _groups(sentences: Sequence[Sentence], size: int) -> Iterator[Sequence[Sentence]]:
    for start in range(0, len(sentences), size):
        yield sentences[start : start + size]
