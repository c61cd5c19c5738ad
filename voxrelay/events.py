"""The facts that travel between services. Plain data: the wire form is the codec's business.

Times in audio payloads are samples from the session's start (16 kHz once denoised); times in results are seconds.
A payload is *durable* when losing it would change a result: it carries its producer's sequence within the session, and
whoever reads it drops what it has already seen. Interim results are not durable: they carry no sequence, may be thinned out
under load, and are ordered by their revision alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Lane = Literal["live", "bulk"]
LANES: tuple[Lane, ...] = ("live", "bulk")
EndReason = Literal["closed", "idle", "lifetime", "vanished", "failed"]
UtteranceEndReason = Literal["pause", "finalize", "length", "end"]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a client asked for. Only ``sample_rate_hz`` and ``channels`` describe the audio on ``audio.received``."""

    sample_rate_hz: int = 16_000
    channels: int = 1
    language: str = ""  # BCP 47; empty means detect
    model: str = ""
    interim_results: bool = True
    vad_enabled: bool = True
    custom_vocabulary: tuple[str, ...] = ()
    stages: tuple[str, ...] = ("denoise", "diarize", "transcribe", "classify")  # who works for this session
    attributes: tuple[str, ...] = ()  # names wanted; empty means every one the engines have
    num_speakers: int = 0  # 0 means unknown
    noise_suppression: float = -1.0  # 0 (off) to 1 (full); below 0 means as far as recognition gains
    pause_ms: int = 0  # silence that ends an utterance; 0 means the service's default
    translate_to: str = ""
    keep_audio: bool = True
    owner: str = ""  # id of the API key, never the key


class Payload:
    """What all payloads say of themselves."""

    __slots__ = ()

    @property
    def is_durable(self) -> bool:
        return True

    @property
    def ends_session(self) -> bool:
        """Whether the producer says nothing more in this session on the topics that carry this payload."""
        return False


# --- audio.received (and, forwarded by denoise, audio.denoised) ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened(Payload):
    config: SessionConfig
    opened_at: float = 0.0  # wall clock, seconds since the epoch


@dataclass(frozen=True, slots=True)
class SessionConfigured(Payload):
    """The whole new configuration, in force for all audio after this record. Rate and channels never change."""

    config: SessionConfig


@dataclass(frozen=True, slots=True)
class AudioReceived(Payload):
    """One chunk as the client sent it, decoded to interleaved pcm_s16le at the session's rate and channels."""

    start_sample: int  # in frames of the session's own rate
    pcm_s16le: bytes


@dataclass(frozen=True, slots=True)
class SessionResumed(Payload):
    """Another gateway process speaks for this session from here on. Its sequences begin far above those before, so that whatever its
    predecessor still had on the way counts as seen. ``resumption`` counts from 1."""

    resumption: int


@dataclass(frozen=True, slots=True)
class FinalizeRequested(Payload):
    """Everything said so far is to become final now. ``ordinal`` counts a session's requests from 1."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class SessionEnded(Payload):
    reason: EndReason = "closed"
    audio_seconds: float = 0.0

    @property
    def ends_session(self) -> bool:
        return True


# --- audio.denoised ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioDenoised(Payload):
    """Mono 16 kHz, gapless: ``start_sample`` is always the end of the one before."""

    start_sample: int
    pcm_s16le: bytes
    utterance_id: str = ""  # the utterance open at the end of this chunk
    speech_probability: float = 0.0  # the highest of its frames
    noise_dbfs: float = -120.0  # estimated noise floor


@dataclass(frozen=True, slots=True)
class UtteranceStarted(Payload):
    """``start_sample`` may lie up to one second before the newest audio passed on: speech is noticed after it began."""

    utterance_id: str
    start_sample: int


@dataclass(frozen=True, slots=True)
class UtteranceEnded(Payload):
    """The utterance is [start_sample, end_sample). The end lies before the newest audio passed on."""

    utterance_id: str
    start_sample: int
    end_sample: int
    reason: UtteranceEndReason = "pause"
    snr_db: float = 0.0


# --- results ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Engine:
    name: str = ""
    version: str = ""
    model_digest: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SegmentTranscribed(Payload):
    """What was said in one utterance so far (``is_final`` false) or for good. Exactly one final an utterance, even an empty one."""

    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    language: str = ""
    engine: Engine = field(default_factory=Engine)

    @property
    def is_durable(self) -> bool:
        return self.is_final


@dataclass(frozen=True, slots=True)
class SpeakerSegment:
    speaker: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SegmentDiarized(Payload):
    """Who speaks when inside one utterance. A later revision replaces an earlier one whole; ``is_final`` marks the first after its end."""

    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    segments: tuple[SpeakerSegment, ...]
    engine: Engine = field(default_factory=Engine)

    @property
    def is_durable(self) -> bool:
        return self.is_final


@dataclass(frozen=True, slots=True)
class Attribute:
    """One named property. ``value`` is a label or a decimal number in ``unit``; confidence is in [0, 1]."""

    name: str
    value: str | float
    confidence: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class SegmentClassified(Payload):
    """Attributes of one utterance from one producer (acoustic or text); producers never name the same attribute."""

    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    attributes: tuple[Attribute, ...]
    engine: Engine = field(default_factory=Engine)

    @property
    def is_durable(self) -> bool:
        return self.is_final


@dataclass(frozen=True, slots=True)
class StageFinished(Payload):
    """A stage has nothing more to say in this session. Counts let a reader check that it saw everything."""

    stage: str
    utterances: int  # how many utterances got a final result
    audio_seconds: float = 0.0

    @property
    def ends_session(self) -> bool:
        return True


# --- synthesis -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SynthesisRequested(Payload):
    """A whole text to be spoken; the session is the request. ``speed`` 1.0 is the voice's own."""

    text: str
    voice: str = ""
    language: str = "en"
    speed: float = 1.0
    sample_rate_hz: int = 0  # 0 means the voice's own
    owner: str = ""

    @property
    def ends_session(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class WordSpoken:
    text: str
    start_s: float


@dataclass(frozen=True, slots=True)
class SynthesisProduced(Payload):
    """One piece of the spoken audio, in order; the last may be empty."""

    index: int
    is_last: bool
    start_sample: int
    sample_rate_hz: int
    pcm_s16le: bytes
    words: tuple[WordSpoken, ...] = ()
    engine: Engine = field(default_factory=Engine)

    @property
    def ends_session(self) -> bool:
        return self.is_last


@dataclass(frozen=True, slots=True)
class SynthesisRefused(Payload):
    """The text cannot be spoken as asked; ``code`` and ``message`` are for the caller, as in ``errors.Refused``."""

    code: str
    message: str

    @property
    def ends_session(self) -> bool:
        return True


# --- models (control topics: plain JSON, not of any session) -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelActivated:
    """Which model a task is done with from here on; an empty name is the engine that the services' settings name.

    ``candidate`` gets ``share`` (0 to 1) of the sessions. ``earlier`` are the models before, the newest last: what a rollback goes back to.
    ``shadow`` hears ``shadow_share`` (0 to 1) of the live sessions as well; nobody is answered by it.
    """

    task: str
    model: str = ""
    candidate: str = ""
    share: float = 0.0
    earlier: tuple[str, ...] = ()
    activated_at: float = 0.0  # wall clock, seconds since the epoch
    shadow: str = ""
    shadow_share: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """What became of it in one process: ``model`` is what it works with, and ``reason`` says why it is not what was asked for."""

    task: str
    instance: str
    model: str
    candidate: str = ""
    reason: str = ""
    at: float = 0.0
    shadow: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A payload and where it belongs. Stages fill in ``session_id`` and ``payload``; the runner stamps the rest."""

    session_id: str
    payload: Payload
    producer: str = ""
    sequence: int = 0  # 1, 2, 3 ... within (session, producer); 0 for payloads that are not durable
    id: str = ""
    time: float = 0.0  # wall clock at publishing, seconds since the epoch
    received_at: float = 0.0  # wall clock when the newest audio behind this event reached the gateway
    traceparent: str = ""
    busy: float = field(default=0.0, compare=False)  # the share of its time, 0 to 1, that the producer was at work lately
