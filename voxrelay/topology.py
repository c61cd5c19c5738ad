"""Who turns which event into which: topics, what travels on them, and the stages between them, as data.

Topic creation, the AsyncAPI document, the picture in the README, compose and Helm derive from this file or are tested
against it. Every topic is keyed by session id; all topics of one lane have the same number of partitions and the
``murmur2_random`` partitioner, so a session lives in one partition number everywhere. Control topics are of no session and have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voxrelay import events
from voxrelay.events import LANES, Lane, Payload

Encoding = Literal["protobuf", "json"]
HOUR_MS = 3_600_000
FOREVER_MS = 100 * 365 * 24 * HOUR_MS
DEFAULT_PARTITIONS = 8
MAX_RECORD_BYTES = 1_000_000  # audio is cut to chunks of at most one second, far below this


@dataclass(frozen=True, slots=True)
class Topic:
    """A fact, named ``speech.<entity>.<fact>.v1`` (live) or ``speech.<entity>.<fact>.bulk.v1``; times in milliseconds."""

    entity: str
    fact: str
    encoding: Encoding
    payloads: tuple[type[Payload], ...]
    summary: str
    retention_ms: int = 24 * HOUR_MS
    lanes: tuple[Lane, ...] = LANES

    def name(self, lane: Lane) -> str:
        return f"speech.{self.entity}.{self.fact}.v1" if lane == "live" else f"speech.{self.entity}.{self.fact}.bulk.v1"

    def __str__(self) -> str:
        return f"{self.entity}.{self.fact}"


_CONTROL = (events.SessionOpened, events.SessionConfigured, events.FinalizeRequested, events.SessionEnded)
_BOUNDARIES = (events.UtteranceStarted, events.UtteranceEnded)

AUDIO_RECEIVED = Topic(
    "audio",
    "received",
    "protobuf",
    (*_CONTROL, events.SessionResumed, events.AudioReceived),
    "Audio as it came in, with the control records in order.",
)
AUDIO_DENOISED = Topic(
    "audio",
    "denoised",
    "protobuf",
    (*_CONTROL, events.AudioDenoised, *_BOUNDARIES),
    "16 kHz mono, noise suppressed, cut into utterances.",
)
UTTERANCE_DETECTED = Topic(
    "utterance",
    "detected",
    "json",
    (events.SessionOpened, *_BOUNDARIES, events.FinalizeRequested, events.StageFinished),
    "When somebody started and stopped to speak.",
    retention_ms=7 * 24 * HOUR_MS,
)
SEGMENT_DIARIZED = Topic("segment", "diarized", "json", (events.SegmentDiarized, events.StageFinished), "Who spoke when.", 7 * 24 * HOUR_MS)
SEGMENT_TRANSCRIBED = Topic("segment", "transcribed", "json", (events.SegmentTranscribed, events.StageFinished), "What was said.", 7 * 24 * HOUR_MS)
SEGMENT_CLASSIFIED = Topic("segment", "classified", "json", (events.SegmentClassified, events.StageFinished), "How it sounded.", 7 * 24 * HOUR_MS)
SEGMENT_SHADOWED = Topic(
    "segment",
    "shadowed",
    "json",
    (events.SegmentTranscribed, events.SegmentDiarized, events.SegmentClassified, events.StageFinished),
    "What a model in the shadow would have said: nobody is answered from it, and nothing is stored.",
    retention_ms=7 * 24 * HOUR_MS,
    lanes=("live",),
)
SYNTHESIS_REQUESTED = Topic("synthesis", "requested", "json", (events.SynthesisRequested,), "Text to be spoken.", lanes=("live",))
SYNTHESIS_PRODUCED = Topic(
    "synthesis", "produced", "protobuf", (events.SynthesisProduced, events.SynthesisRefused), "The text, spoken, piece by piece.", lanes=("live",)
)

TOPICS: tuple[Topic, ...] = (
    AUDIO_RECEIVED,
    AUDIO_DENOISED,
    UTTERANCE_DETECTED,
    SEGMENT_DIARIZED,
    SEGMENT_TRANSCRIBED,
    SEGMENT_CLASSIFIED,
    SEGMENT_SHADOWED,
    SYNTHESIS_REQUESTED,
    SYNTHESIS_PRODUCED,
)


@dataclass(frozen=True, slots=True)
class ControlTopic:
    """What all instances of a service follow from the beginning: compacted, one partition, JSON, not of any session."""

    entity: str
    fact: str
    payload: type[events.ModelActivated | events.ModelLoaded]
    key: str
    summary: str

    @property
    def name(self) -> str:
        return f"speech.{self.entity}.{self.fact}.v1"


MODEL_ACTIVATED = ControlTopic("model", "activated", events.ModelActivated, "task", "Which model a task is done with.")
MODEL_LOADED = ControlTopic("model", "loaded", events.ModelLoaded, "task/instance", "Which models the services' processes work with.")
CONTROL_TOPICS: tuple[ControlTopic, ...] = (MODEL_ACTIVATED, MODEL_LOADED)


@dataclass(frozen=True, slots=True)
class StageNode:
    """A stage: its name is its consumer group (live) and the producer of what it publishes."""

    name: str
    service: str
    reads: Topic
    writes: tuple[Topic, ...]
    asked_as: str  # the name in SessionConfig.stages under which a session asks for it; empty: not by session
    shadow: Topic | None = None  # where a model in its shadow speaks


@dataclass(frozen=True, slots=True)
class ProjectionNode:
    name: str
    service: str
    reads: tuple[Topic, ...]


DENOISE = StageNode("denoise", "denoise", AUDIO_RECEIVED, (AUDIO_DENOISED, UTTERANCE_DETECTED), "denoise")
DIARIZE = StageNode("diarize", "diarize", AUDIO_DENOISED, (SEGMENT_DIARIZED,), "diarize", SEGMENT_SHADOWED)
TRANSCRIBE = StageNode("transcribe", "transcribe", AUDIO_DENOISED, (SEGMENT_TRANSCRIBED,), "transcribe", SEGMENT_SHADOWED)
CLASSIFY = StageNode("classify", "classify", AUDIO_DENOISED, (SEGMENT_CLASSIFIED,), "classify", SEGMENT_SHADOWED)
CLASSIFY_TEXT = StageNode("classify.text", "classify", SEGMENT_TRANSCRIBED, (SEGMENT_CLASSIFIED,), "classify")
SYNTH = StageNode("synth", "synth", SYNTHESIS_REQUESTED, (SYNTHESIS_PRODUCED,), "")
ARCHIVE = StageNode("projector.audio", "projector", AUDIO_DENOISED, (), "")

STAGES: tuple[StageNode, ...] = (DENOISE, DIARIZE, TRANSCRIBE, CLASSIFY, CLASSIFY_TEXT, SYNTH, ARCHIVE)

PROJECTOR = ProjectionNode(
    "projector",
    "projector",
    (UTTERANCE_DETECTED, SEGMENT_DIARIZED, SEGMENT_TRANSCRIBED, SEGMENT_CLASSIFIED, SYNTHESIS_REQUESTED),
)
GATEWAY_READS: tuple[Topic, ...] = (UTTERANCE_DETECTED, SEGMENT_DIARIZED, SEGMENT_TRANSCRIBED, SEGMENT_CLASSIFIED, SYNTHESIS_PRODUCED)
GATEWAY_WRITES: tuple[Topic, ...] = (AUDIO_RECEIVED, SYNTHESIS_REQUESTED)


def consumer_group(name: str, lane: Lane) -> str:
    return name if lane == "live" else f"{name}.bulk"


def checkpoint_topic(stage: StageNode, lane: Lane) -> str:
    """Where a stage keeps its sessions' snapshots: compacted, private to it, and so the one kind of topic named after a service."""
    return f"speech.checkpoint.{consumer_group(stage.name, lane)}.v1"


def dead_letter_topic(topic: str) -> str:
    return f"{topic}.dlq"


def stages_reading(topic: Topic) -> tuple[StageNode, ...]:
    return tuple(stage for stage in STAGES if stage.reads is topic)


def stages_to_finish(asked: tuple[str, ...]) -> frozenset[str]:
    """The producers whose ``StageFinished`` completes a session that asked for these stages."""
    return frozenset(stage.name for stage in STAGES if stage.asked_as and stage.asked_as in asked)


def published_by(stage: StageNode) -> tuple[Topic, ...]:
    """All topics a stage's process writes results to."""
    return (*stage.writes, stage.shadow) if stage.shadow is not None else stage.writes


def edges() -> frozenset[tuple[str, str]]:
    """Who hears from whom over the log, by name: what a trace of everything the platform does must show, and nothing else."""
    writes = {"gateway": GATEWAY_WRITES} | {stage.name: stage.writes for stage in STAGES}
    reads = {"gateway": GATEWAY_READS, PROJECTOR.name: PROJECTOR.reads} | {stage.name: (stage.reads,) for stage in STAGES}
    return frozenset((writer, reader) for writer, topics in writes.items() for reader, read in reads.items() if set(topics) & set(read))


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One Kafka topic to create, with its settings."""

    name: str
    partitions: int
    config: dict[str, str]
    summary: str


def topic_specs(partitions: int = DEFAULT_PARTITIONS) -> list[TopicSpec]:
    """Every topic of both lanes: facts, their dead letters, and the stages' checkpoints; and the control topics."""
    specs: list[TopicSpec] = []
    for topic in TOPICS:
        for lane in topic.lanes:
            name = topic.name(lane)
            config = {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms), "max.message.bytes": str(2 * MAX_RECORD_BYTES)}
            specs.append(TopicSpec(name, partitions, config, topic.summary))
            dead = {"cleanup.policy": "delete", "retention.ms": str(30 * 24 * HOUR_MS), "max.message.bytes": str(2 * MAX_RECORD_BYTES)}
            specs.append(TopicSpec(dead_letter_topic(name), partitions, dead, f"Records of {name} that could not be processed."))
    for stage in STAGES:
        for lane in stage.reads.lanes:
            config = {
                "cleanup.policy": "compact,delete",
                "retention.ms": str(24 * HOUR_MS),
                # Who takes a session over reads all of this, and nothing is compacted that lies in the newest segment.
                "segment.bytes": str(8 * MAX_RECORD_BYTES),
                "segment.ms": str(10 * 60_000),
                "min.cleanable.dirty.ratio": "0.2",
                "max.message.bytes": str(8 * MAX_RECORD_BYTES),
            }
            specs.append(TopicSpec(checkpoint_topic(stage, lane), partitions, config, f"Snapshots of {stage.name}'s open sessions."))
    always = {"cleanup.policy": "compact", "retention.ms": str(FOREVER_MS)}
    specs += [TopicSpec(topic.name, 1, dict(always), topic.summary) for topic in CONTROL_TOPICS]
    return specs
