"""The shapes of REST answers, for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    code: str = Field(description="upper snake case; docs/errors.md says what to do")
    message: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail


class AttributeAnswer(BaseModel):
    value: str | float
    confidence: float = Field(ge=0, le=1)
    unit: str | None = None


class WordAnswer(BaseModel):
    word: str
    start: float = Field(description="seconds from the start of the audio")
    end: float
    confidence: float
    speaker: str | None = None


class UtteranceAnswer(BaseModel):
    utterance_id: str
    transcript: str
    confidence: float
    start: float
    end: float
    duration: float
    words: list[WordAnswer]
    speaker: str | None = None
    language: str | None = None
    attributes: dict[str, AttributeAnswer]


class ProcessAnswer(BaseModel):
    session_id: str
    audio_seconds: float
    utterances: list[UtteranceAnswer]


class SpeakRequest(BaseModel):
    text: str = Field(min_length=1, description="plain text; lines 'Speaker 1: …' are spoken by different voices")
    voice: str = Field("", description="name of a voice; several, comma-separated, for several speakers")
    language: str = "en"
    speed: float = Field(1.0, ge=0.25, le=4.0)
    format: str = Field("wav", pattern="^(wav|pcm|mulaw|alaw|flac|mp3|opus|aac)$")
    sample_rate: int = Field(0, ge=0, le=48_000, description="0 is the voice's own")


class VoiceAnswer(BaseModel):
    name: str = Field(description="what `voice` may be; the bundled engine knows more (gRPC ListVoices)")
    language: str = ""
    gender: str = ""
    openai: list[str] = Field(default_factory=list, description="names of OpenAI's voices that select it")
    deepgram: list[str] = Field(default_factory=list, description="names of Deepgram's models that select it")


class VoicesAnswer(BaseModel):
    voices: list[VoiceAnswer]


class LoginRequest(BaseModel):
    username: str = Field(min_length=1, max_length=200)
    password: str = Field(min_length=1, max_length=200)


class LoginAnswer(BaseModel):
    access_token: str = Field(description="to be sent as Authorization: Bearer")
    token_type: str
    expires_in: int = Field(description="seconds")


class UsageAnswer(BaseModel):
    key: str | None = Field(description="id of the key; null for what was used without one")
    day: str = Field(description="2026-01-31, UTC; a session counts on the day it was opened")
    sessions: int
    audio_seconds: float = Field(description="audio heard")
    syntheses: int
    characters: int = Field(description="characters spoken")


class HealthAnswer(BaseModel):
    status: str


class SummaryAnswer(BaseModel):
    session_id: str
    opened_at: float = Field(description="seconds since the epoch; 0 while the opening has not been stored")
    audio_seconds: float
    utterances: int
    speakers: list[str]
    language: str | None = None
    is_complete: bool = Field(description="all stages the session asked for are done")


class DeletedSessionAnswer(BaseModel):
    session_id: str
    rows: dict[str, int] = Field(description="removed, by table")
    rows_sha256: str = Field(description="over the keys of the rows, not over what was said")
    objects: int | None = Field(description="recordings removed; null until they were counted")
    object_bytes: int
    objects_sha256: str = Field(description="over the names and sizes of the recordings")
    deleted_at: float | None = Field(description="seconds since the epoch; null until the recordings are gone")


class DeletionAnswer(BaseModel):
    """The proof of a deletion; it holds no speech."""

    deletion_id: str
    requested_at: float
    requested_by: str
    reason: str
    selector: str
    parts: list[str]
    finished_at: float | None = Field(description="null until everything is gone")
    sessions: list[DeletedSessionAnswer]
    sha256: str = Field(description="over all the rest, as JSON with sorted keys and without spaces")


class StoredUtteranceAnswer(UtteranceAnswer):
    end_reason: str = Field(description="pause, finalize, length or end; empty while it goes on")
    snr_db: float | None = None
    recording: str | None = Field(None, description="name of the FLAC in the object store")


class SessionAnswer(BaseModel):
    session: SummaryAnswer
    utterances: list[StoredUtteranceAnswer]


class SpeakerAnswer(BaseModel):
    speaker: str
    spoken_seconds: float
    utterances: int
    words: int


class HitAnswer(BaseModel):
    session_id: str
    utterance: StoredUtteranceAnswer


class ModelAnswer(BaseModel):
    name: str
    task: str
    engine: str
    languages: list[str]
    size_bytes: int
    licence: str
    source: str
    revision: str = Field(description="what the source pins; empty where only checksums do")
    digest: str = Field(description="SHA-256 of the one file, or of the list of files with theirs; empty where there are none")
    is_installed: bool
    use: str = Field(description="active, or for which share of sessions it is the candidate or in the shadow; else empty")


class ModelFileAnswer(BaseModel):
    path: str
    sha256: str
    size_bytes: int


class ShownModelAnswer(ModelAnswer):
    summary: str
    licence_url: str
    options: dict[str, str | bool | int | float]
    files: list[ModelFileAnswer]
    pull: str = Field("", description="fetching, or why the last attempt failed")


class ModelStateAnswer(BaseModel):
    task: str
    instance: str
    model: str = Field(description="what the process works with; empty is the engine of its settings")
    candidate: str
    reason: str = Field(description="why that is not what was asked for; empty when it is")
    at: float = Field(description="seconds since the epoch")
    shadow: str = ""


class ActivateRequest(BaseModel):
    share: float = Field(1.0, gt=0, le=1, description="of the sessions; below 1 the model is a candidate beside the active one")


class ShadowRequest(BaseModel):
    share: float = Field(1.0, ge=0, le=1, description="of the live sessions the model hears; 0 takes it out of the shadow")


class RollbackRequest(BaseModel):
    task: str = Field(min_length=1, max_length=100)


class ActivationAnswer(BaseModel):
    task: str
    model: str = Field(description="empty is the engine of the services' settings")
    candidate: str
    share: float
    earlier: list[str] = Field(description="what rollbacks go back to, the newest last")
    activated_at: float
    shadow: str = Field("", description="what hears sessions as well and answers nobody")
    shadow_share: float = 0.0
