"""Sessions through the live stages: the same services, runners and codec as on Kafka, on the in-memory bus, without an edge.

One session at a time in chunks of 100 ms, each handed over when the one before has been cleaned: nothing waits for anything but the
work itself, so the times are those of the work. Results are those of a live session, for framing never depends on timing.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module

import numpy as np

from voxrelay import codec
from voxrelay.audio import Float32Array, float32_from_pcm_s16le
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
    Engine,
    Event,
    Lane,
    Payload,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
)
from voxrelay.process import ServiceThreads
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.telemetry import ENGINE_SECONDS
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, CLASSIFY_TEXT, GATEWAY_READS, TRANSCRIBE, stages_to_finish, topic_specs

LANE: Lane = "live"
PARTITIONS = 1
CHUNK_S = 0.1
PATIENCE_S = 600.0  # for one chunk's or one utterance's work


class StageStuck(Exception):
    """A stage failed or hangs; its log says why."""


@dataclass
class Outcome:
    """Everything the stages said of one session; the newest revision where there are several."""

    utterances: list[UtteranceEnded] = field(default_factory=list)
    transcribed: dict[str, SegmentTranscribed] = field(default_factory=dict)
    diarized: dict[str, SegmentDiarized] = field(default_factory=dict)
    classified: dict[str, list[SegmentClassified]] = field(default_factory=lambda: defaultdict(list))
    denoised: list[AudioDenoised] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    engines: dict[str, Engine] = field(default_factory=dict)  # by what they made
    elapsed_s: float = 0.0  # from the first record to the last stage's end
    chunk_s: list[float] = field(default_factory=list)  # from a chunk's sending to its cleaned audio
    final_s: list[float] = field(default_factory=list)  # from the sending of the chunk that ends an utterance to the utterance's final

    @property
    def text(self) -> str:
        ordered = sorted(self.transcribed.values(), key=lambda result: result.start_s)
        return " ".join(result.text for result in ordered if result.text)

    @property
    def samples(self) -> Float32Array:
        """The cleaned audio, 16 kHz."""
        return float32_from_pcm_s16le(b"".join(chunk.pcm_s16le for chunk in self.denoised)) if self.denoised else np.zeros(0, np.float32)

    def take(self, payload: Payload) -> str:
        """The id of the utterance whose first final this is, or nothing."""
        if isinstance(payload, UtteranceEnded):
            self.utterances.append(payload)
        elif isinstance(payload, AudioDenoised):
            self.denoised.append(payload)
        elif isinstance(payload, StageFinished):
            self.finished.add(payload.stage)
        elif isinstance(payload, SegmentTranscribed | SegmentDiarized) and payload.is_final:
            kept = self.transcribed if isinstance(payload, SegmentTranscribed) else self.diarized
            is_first = payload.utterance_id not in kept
            kept[payload.utterance_id] = payload  # type: ignore[assignment]  # each in its own
            self.engines[type(payload).__name__] = payload.engine
            return payload.utterance_id if is_first else ""
        elif isinstance(payload, SegmentClassified):
            self.classified[payload.utterance_id].append(payload)
            self.engines["SegmentClassified"] = payload.engine
            return payload.utterance_id
        return ""


class Path:
    """Runs one session after the other through ``services``, denoise first; one thread uses it."""

    def __init__(self, services: Sequence[str]) -> None:
        """Starts the engines the settings name. Raises ``EngineUnusable``."""
        platform = load_settings(PlatformSettings).model_copy(update={"lanes": (LANE,)})
        self._bus = MemoryBus()
        self._bus.create_topics(topic_specs(PARTITIONS))
        self._services = [import_module(f"services.{name}.compose").compose(platform) for name in services]
        self.engines = {slot.task: slot.identity for service in self._services for slot in service.slots}
        self._threads = ServiceThreads(self._bus, platform, self._services)
        self._threads.start()
        self._stages = tuple(services)
        sources = [TopicPartition(topic.name(LANE), number) for topic in (*GATEWAY_READS[:-1], AUDIO_DENOISED) for number in range(PARTITIONS)]
        self._reader = self._bus.read(dict.fromkeys(sources, "latest"))
        self._producer = self._bus.producer()

    def run(self, pcm: bytes, config: SessionConfig) -> Outcome:
        """Mono pcm_s16le at the configuration's rate. Raises ``StageStuck``."""
        return _Session(self, config).run(pcm)

    def send(self, event: Event) -> None:
        self._producer.send(AUDIO_RECEIVED.name(LANE), *codec.encode(event, AUDIO_RECEIVED.encoding))

    def poll(self) -> Iterator[tuple[str, Payload]]:
        """What has come: of the cleaned audio's topic the audio alone, for the rest stands on the others, too."""
        if self._threads.failed.is_set():
            raise StageStuck("A stage failed; its log stands above.")
        for record in self._reader.poll(500, 0.1):
            event = codec.decode(record.key, record.value, record.headers)
            if (record.topic == AUDIO_DENOISED.name(LANE)) == isinstance(event.payload, AudioDenoised):
                yield event.session_id, event.payload

    def close(self) -> None:
        self._threads.stop()
        for service in self._services:
            service.close()


class _Session:
    def __init__(self, path: Path, config: SessionConfig) -> None:
        self._path, self._config = path, config
        self._id, self._sequence = uuid.uuid4().hex, 0
        self._outcome = Outcome()
        self._asked: dict[str, float] = {}  # when the chunk was sent that ended an utterance

    def run(self, pcm: bytes) -> Outcome:
        began = time.perf_counter()
        self._send(SessionOpened(self._config))
        size = int(self._config.sample_rate_hz * CHUNK_S) * 2
        for at in range(0, len(pcm), size):
            chunk = pcm[at : at + size]
            sent = time.perf_counter()
            cleaned = len(self._outcome.denoised)
            self._send(AudioReceived(at // 2, chunk))
            if len(chunk) == size:  # what is shorter may fill no hop
                self._until(partial(self._has_more_than, cleaned), sent)
                self._outcome.chunk_s.append(time.perf_counter() - sent)
        self._send(SessionEnded())
        wanted = stages_to_finish(self._config.stages)
        if TRANSCRIBE.asked_as not in self._config.stages:
            wanted -= {CLASSIFY_TEXT.name}  # it reads words, and nobody writes any
        self._until(lambda: self._outcome.finished >= wanted, time.perf_counter())
        self._outcome.elapsed_s = time.perf_counter() - began
        return self._outcome

    def _has_more_than(self, chunks: int) -> bool:
        return len(self._outcome.denoised) > chunks

    def _send(self, payload: Payload) -> None:
        self._sequence += 1
        now = time.time()
        event = Event(self._id, payload, "gateway", self._sequence, f"{self._id}/gateway/{self._sequence}", now, now)
        self._path.send(event)

    def _until(self, is_done: Callable[[], bool], sent: float) -> None:
        while not is_done():
            if time.perf_counter() - sent > PATIENCE_S:
                raise StageStuck("A stage hangs: nothing came of it for ten minutes.")
            for session_id, payload in self._path.poll():
                if session_id != self._id:
                    continue
                if isinstance(payload, UtteranceEnded):
                    self._asked[payload.utterance_id] = sent
                first = self._outcome.take(payload)
                if first in self._asked:
                    self._outcome.final_s.append(time.perf_counter() - self._asked[first])


def engine_seconds() -> dict[str, float]:
    """What engines have worked in this process so far, by stage: the same counter that the services export."""
    samples = [sample for metric in ENGINE_SECONDS.collect() for sample in metric.samples]
    return {sample.labels["stage"]: sample.value for sample in samples if sample.name.endswith("_sum")}


def seconds_of(pcm: bytes, rate_hz: int) -> float:
    return len(pcm) / 2 / rate_hz


@contextmanager
def running(services: Sequence[str]) -> Iterator[Path]:
    """A path that ends with the block. Raises ``EngineUnusable``."""
    path = Path(services)
    try:
        yield path
    finally:
        path.close()
