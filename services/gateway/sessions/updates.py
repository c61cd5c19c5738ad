"""What a session tells its protocol, whatever the protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

from voxrelay.events import Engine, SegmentTranscribed, SpeakerSegment, UtteranceEndReason
from voxrelay.join import JoinedUtterance


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """``finalizes``: how many of the client's finalizes lie before it."""

    utterance_id: str
    at_s: float
    finalizes: int = 0


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over; its ``Final`` follows, or ``NothingSaid``."""

    utterance_id: str
    at_s: float
    reason: UtteranceEndReason


@dataclass(frozen=True, slots=True)
class Interim:
    result: SegmentTranscribed


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks when in one utterance, as known now: the whole of it, instead of what was said of it before.

    It comes while the utterance lasts (``is_final`` false), once it has ended, and again whenever later speech tells more about it:
    the words' ``Final`` waits for none of these and is not changed by them.
    """

    utterance_id: str
    segments: tuple[SpeakerSegment, ...]
    is_final: bool


@dataclass(frozen=True, slots=True)
class Final:
    """In the order the utterances were spoken; nothing of this utterance comes after it.

    ``sequence`` numbers the updates that a client must not miss: 1, 2, 3 … within the session, the same whichever process tells them.
    """

    utterance: JoinedUtterance
    end_reason: str
    sequence: int = 0
    engine: Engine = field(default_factory=Engine)  # it found the words


@dataclass(frozen=True, slots=True)
class NothingSaid:
    """In the place of a ``Final``: the utterance, which ended there, held no words."""

    utterance_id: str
    end_s: float


@dataclass(frozen=True, slots=True)
class Finalized:
    """Everything said before the client's ``ordinal``-th finalize has been sent as final."""

    ordinal: int
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """All stages the session asked for have finished."""

    audio_seconds: float
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    code: str
    message: str


Numbered = Final | Finalized | Closed
Update = SpeechStarted | SpeechEnded | Interim | Speakers | Final | NothingSaid | Finalized | Closed | Failed
