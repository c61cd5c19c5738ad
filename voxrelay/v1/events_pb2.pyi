from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionConfig(_message.Message):
    __slots__ = ("sample_rate_hz", "channels", "language", "model", "interim_results", "vad_enabled", "custom_vocabulary", "stages", "attributes", "num_speakers", "noise_suppression", "pause_ms", "translate_to", "keep_audio", "owner")
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    VAD_ENABLED_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    NUM_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    NOISE_SUPPRESSION_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MS_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_TO_FIELD_NUMBER: _ClassVar[int]
    KEEP_AUDIO_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    sample_rate_hz: int
    channels: int
    language: str
    model: str
    interim_results: bool
    vad_enabled: bool
    custom_vocabulary: _containers.RepeatedScalarFieldContainer[str]
    stages: _containers.RepeatedScalarFieldContainer[str]
    attributes: _containers.RepeatedScalarFieldContainer[str]
    num_speakers: int
    noise_suppression: float
    pause_ms: int
    translate_to: str
    keep_audio: bool
    owner: str
    def __init__(self, sample_rate_hz: _Optional[int] = ..., channels: _Optional[int] = ..., language: _Optional[str] = ..., model: _Optional[str] = ..., interim_results: _Optional[bool] = ..., vad_enabled: _Optional[bool] = ..., custom_vocabulary: _Optional[_Iterable[str]] = ..., stages: _Optional[_Iterable[str]] = ..., attributes: _Optional[_Iterable[str]] = ..., num_speakers: _Optional[int] = ..., noise_suppression: _Optional[float] = ..., pause_ms: _Optional[int] = ..., translate_to: _Optional[str] = ..., keep_audio: _Optional[bool] = ..., owner: _Optional[str] = ...) -> None: ...

class SessionOpened(_message.Message):
    __slots__ = ("session_id", "config", "opened_at")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    config: SessionConfig
    opened_at: float
    def __init__(self, session_id: _Optional[str] = ..., config: _Optional[_Union[SessionConfig, _Mapping]] = ..., opened_at: _Optional[float] = ...) -> None: ...

class SessionConfigured(_message.Message):
    __slots__ = ("session_id", "config")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    config: SessionConfig
    def __init__(self, session_id: _Optional[str] = ..., config: _Optional[_Union[SessionConfig, _Mapping]] = ...) -> None: ...

class AudioReceived(_message.Message):
    __slots__ = ("session_id", "start_sample", "pcm_s16le")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    PCM_S16LE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    start_sample: int
    pcm_s16le: bytes
    def __init__(self, session_id: _Optional[str] = ..., start_sample: _Optional[int] = ..., pcm_s16le: _Optional[bytes] = ...) -> None: ...

class SessionResumed(_message.Message):
    __slots__ = ("session_id", "resumption")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESUMPTION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    resumption: int
    def __init__(self, session_id: _Optional[str] = ..., resumption: _Optional[int] = ...) -> None: ...

class FinalizeRequested(_message.Message):
    __slots__ = ("session_id", "ordinal")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    ordinal: int
    def __init__(self, session_id: _Optional[str] = ..., ordinal: _Optional[int] = ...) -> None: ...

class SessionEnded(_message.Message):
    __slots__ = ("session_id", "reason", "audio_seconds")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    reason: str
    audio_seconds: float
    def __init__(self, session_id: _Optional[str] = ..., reason: _Optional[str] = ..., audio_seconds: _Optional[float] = ...) -> None: ...

class AudioDenoised(_message.Message):
    __slots__ = ("session_id", "start_sample", "pcm_s16le", "utterance_id", "speech_probability", "noise_dbfs")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    PCM_S16LE_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    NOISE_DBFS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    start_sample: int
    pcm_s16le: bytes
    utterance_id: str
    speech_probability: float
    noise_dbfs: float
    def __init__(self, session_id: _Optional[str] = ..., start_sample: _Optional[int] = ..., pcm_s16le: _Optional[bytes] = ..., utterance_id: _Optional[str] = ..., speech_probability: _Optional[float] = ..., noise_dbfs: _Optional[float] = ...) -> None: ...

class UtteranceStarted(_message.Message):
    __slots__ = ("session_id", "utterance_id", "start_sample")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    utterance_id: str
    start_sample: int
    def __init__(self, session_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., start_sample: _Optional[int] = ...) -> None: ...

class UtteranceEnded(_message.Message):
    __slots__ = ("session_id", "utterance_id", "start_sample", "end_sample", "reason", "snr_db")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    END_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SNR_DB_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    utterance_id: str
    start_sample: int
    end_sample: int
    reason: str
    snr_db: float
    def __init__(self, session_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., start_sample: _Optional[int] = ..., end_sample: _Optional[int] = ..., reason: _Optional[str] = ..., snr_db: _Optional[float] = ...) -> None: ...

class Engine(_message.Message):
    __slots__ = ("name", "version", "model_digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    model_digest: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., model_digest: _Optional[str] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "start_s", "end_s", "confidence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_s: float
    end_s: float
    confidence: float
    def __init__(self, text: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class SegmentTranscribed(_message.Message):
    __slots__ = ("session_id", "utterance_id", "revision", "is_final", "start_s", "end_s", "text", "confidence", "words", "language", "engine")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    text: str
    confidence: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    language: str
    engine: Engine
    def __init__(self, session_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., revision: _Optional[int] = ..., is_final: _Optional[bool] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., text: _Optional[str] = ..., confidence: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ..., language: _Optional[str] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...

class SpeakerSegment(_message.Message):
    __slots__ = ("speaker", "start_s", "end_s", "confidence")
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    speaker: str
    start_s: float
    end_s: float
    confidence: float
    def __init__(self, speaker: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class SegmentDiarized(_message.Message):
    __slots__ = ("session_id", "utterance_id", "revision", "is_final", "start_s", "end_s", "segments", "engine")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    segments: _containers.RepeatedCompositeFieldContainer[SpeakerSegment]
    engine: Engine
    def __init__(self, session_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., revision: _Optional[int] = ..., is_final: _Optional[bool] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., segments: _Optional[_Iterable[_Union[SpeakerSegment, _Mapping]]] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "label", "number", "confidence", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    label: str
    number: float
    confidence: float
    unit: str
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., number: _Optional[float] = ..., confidence: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class SegmentClassified(_message.Message):
    __slots__ = ("session_id", "utterance_id", "revision", "is_final", "start_s", "end_s", "attributes", "engine")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    utterance_id: str
    revision: int
    is_final: bool
    start_s: float
    end_s: float
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    engine: Engine
    def __init__(self, session_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., revision: _Optional[int] = ..., is_final: _Optional[bool] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...

class StageFinished(_message.Message):
    __slots__ = ("session_id", "stage", "utterances", "audio_seconds")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    UTTERANCES_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    stage: str
    utterances: int
    audio_seconds: float
    def __init__(self, session_id: _Optional[str] = ..., stage: _Optional[str] = ..., utterances: _Optional[int] = ..., audio_seconds: _Optional[float] = ...) -> None: ...

class SynthesisRequested(_message.Message):
    __slots__ = ("session_id", "text", "voice", "language", "speed", "sample_rate_hz", "owner")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    text: str
    voice: str
    language: str
    speed: float
    sample_rate_hz: int
    owner: str
    def __init__(self, session_id: _Optional[str] = ..., text: _Optional[str] = ..., voice: _Optional[str] = ..., language: _Optional[str] = ..., speed: _Optional[float] = ..., sample_rate_hz: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class WordSpoken(_message.Message):
    __slots__ = ("text", "start_s")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    text: str
    start_s: float
    def __init__(self, text: _Optional[str] = ..., start_s: _Optional[float] = ...) -> None: ...

class SynthesisProduced(_message.Message):
    __slots__ = ("session_id", "index", "is_last", "start_sample", "sample_rate_hz", "pcm_s16le", "words", "engine")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    PCM_S16LE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    index: int
    is_last: bool
    start_sample: int
    sample_rate_hz: int
    pcm_s16le: bytes
    words: _containers.RepeatedCompositeFieldContainer[WordSpoken]
    engine: Engine
    def __init__(self, session_id: _Optional[str] = ..., index: _Optional[int] = ..., is_last: _Optional[bool] = ..., start_sample: _Optional[int] = ..., sample_rate_hz: _Optional[int] = ..., pcm_s16le: _Optional[bytes] = ..., words: _Optional[_Iterable[_Union[WordSpoken, _Mapping]]] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...

class SynthesisRefused(_message.Message):
    __slots__ = ("session_id", "code", "message")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    code: str
    message: str
    def __init__(self, session_id: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("session_id", "next_offset", "last_sequences", "last_published", "state", "is_closed", "traceparent")
    class LastSequencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    LAST_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IS_CLOSED_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    next_offset: int
    last_sequences: _containers.ScalarMap[str, int]
    last_published: int
    state: bytes
    is_closed: bool
    traceparent: str
    def __init__(self, session_id: _Optional[str] = ..., next_offset: _Optional[int] = ..., last_sequences: _Optional[_Mapping[str, int]] = ..., last_published: _Optional[int] = ..., state: _Optional[bytes] = ..., is_closed: _Optional[bool] = ..., traceparent: _Optional[str] = ...) -> None: ...
