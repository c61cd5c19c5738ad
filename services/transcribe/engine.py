"""What turns the audio of utterances into words: one transcriber for all sessions, one stream for each open utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voxrelay.audio import Float32Array
from voxrelay.events import Engine, Word

ENGINES: dict[str, str] = {
    "faster-whisper": "services.transcribe.engines.faster_whisper:FasterWhisperTranscriber",
    "pocketsphinx": "services.transcribe.engines.pocketsphinx:PocketsphinxTranscriber",
    "sherpa-onnx": "services.transcribe.engines.sherpa:SherpaTranscriber",
}

EXTRAS = {"faster-whisper": "faster-whisper", "sherpa-onnx": "sherpa-onnx"}  # of the distribution, where it is not called like the capability


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """``language`` is BCP 47 or empty (detect); ``vocabulary`` are terms to prefer, of one or more words, in this stream alone."""

    language: str = ""
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advance:
    """The next stretch of one stream.

    samples          float32 mono at 16 kHz, shape (n,), n may be 0; gapless since the last stretch
    is_last          the utterance is complete: its final is asked for, and the stream is closed by that
    surplus_samples  so many of all samples given so far lie behind the utterance's end and must not matter (with ``is_last``), or may
                     turn out to: an engine that cannot take audio back had better not listen to them yet
    """

    stream: int
    samples: Float32Array
    is_last: bool = False
    surplus_samples: int = 0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was said; an empty ``text`` when nobody spoke. Words are those of ``text``, with seconds from the utterance's start.

    Confidences are in [0, 1]. ``samples`` says how much of the utterance the hypothesis covers; for a final: all of it. ``language``
    is the BCP 47 primary tag of what was heard.
    """

    text: str
    words: tuple[Word, ...]
    confidence: float
    samples: int
    language: str


class Transcriber(Protocol):
    """Weights and decoders, shared by all sessions. Thread-safe.

    The promise everything rests on: the final of a stream is a function of its options and of its samples up to the utterance's
    end alone: not of the lengths of the stretches, of the surplus, of other streams, or of what was decoded before.
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 primary tags it can transcribe. A gateway refuses a session that asks for another one (UNSUPPORTED_LANGUAGE)."""
        ...

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        """A new stream, at no cost yet. Of what waits, the streams that are urgent (somebody listens) are served first.

        Others may get no interims, and be decoded in one go when they are complete.
        """
        ...

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        """One call for all that is due, of any number of sessions; at most one stretch a stream. Results in the order of the work.

        None where there is no interim: none was wanted, nothing new is heard, or there was no room for it (that is counted).
        A last stretch always gives a hypothesis. Raises ``Unavailable`` when the engine died; all streams in the work are then gone.
        """
        ...

    def discard(self, stream: int) -> None:
        """Forget a stream that will have no last stretch. Unknown streams are ignored."""
        ...

    def check(self) -> None:
        """Raises ``Unavailable`` with a plain sentence while it cannot transcribe."""
        ...

    def close(self) -> None:
        """Ends it; calls in flight end with ``Unavailable``."""
        ...
