"""What says something about an utterance: one classifier that hears it, one that reads its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voxrelay.audio import Float32Array
from voxrelay.events import Attribute, Engine, Word

ACOUSTIC_ENGINES: dict[str, str] = {
    "dsp": "services.classify.engines.acoustic:SignalClassifier",
    "onnx": "services.classify.engines.onnx:OnnxClassifier",
    "speechbrain": "services.classify.engines.speechbrain:SpeechbrainClassifier",
}
EXTRAS = {"onnx": "denoise", "speechbrain": "speechbrain"}  # of the distribution, where it is not called like the capability
TEXT_ENGINES: dict[str, str] = {"lexical": "services.classify.engines.lexical:LexicalClassifier"}


@dataclass(frozen=True, slots=True)
class TranscribedText:
    """What was said in one utterance. ``language`` is what the transcriber says of it (BCP 47), or empty."""

    text: str
    words: tuple[Word, ...] = ()
    language: str = ""


class AcousticClassifier(Protocol):
    """Thread-safe and without memory: the answer for an utterance is a function of its samples alone.

    Attributes come in the order of ``names``, each at most once, and only those that can be said of this utterance: none at all for
    one too short. Numbers are finite and within the range the table in voxrelay/attributes.py gives; so are confidences, in [0, 1].
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def names(self) -> tuple[str, ...]:
        """Every attribute it may give."""
        ...

    def classify(self, utterances: Sequence[Float32Array]) -> list[tuple[Attribute, ...]]:
        """One answer an utterance, in order. Utterances are mono float32 at 16 kHz, shape (samples,), samples may be 0."""
        ...


class TextClassifier(Protocol):
    """As ``AcousticClassifier``, of words. A text without words has no attributes."""

    @property
    def engine(self) -> Engine: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def classify(self, texts: Sequence[TranscribedText]) -> list[tuple[Attribute, ...]]: ...
