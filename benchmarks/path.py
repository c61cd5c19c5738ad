"""The bundled stages behind each other on the in-memory bus, without an edge: files in, events out. For evaluation."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

from voxrelay import codec
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
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
from voxrelay.settings import PlatformSettings
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, GATEWAY_READS, stages_to_finish, topic_specs

STAGE_SERVICES = ("denoise", "diarize", "transcribe", "classify")
PARTITIONS = 4
LANE: Lane = "bulk"
PATIENCE_S = 1800.0


@dataclass
class Outcome:
    """Everything the stages said of one session; the newest revision where there are several."""

    utterances: list[UtteranceEnded] = field(default_factory=list)
    transcribed: dict[str, SegmentTranscribed] = field(default_factory=dict)
    diarized: dict[str, SegmentDiarized] = field(default_factory=dict)
    classified: dict[str, list[SegmentClassified]] = field(default_factory=lambda: defaultdict(list))
    denoised: list[AudioDenoised] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    seconds: float = 0.0  # from the first record to the last stage's end

    @property
    def text(self) -> str:
        ordered = sorted(self.transcribed.values(), key=lambda result: result.start_s)
        return " ".join(result.text for result in ordered if result.text)

    def take(self, payload: Payload) -> None:
        if isinstance(payload, UtteranceEnded):
            self.utterances.append(payload)
        elif isinstance(payload, SegmentTranscribed) and payload.is_final:
            self.transcribed[payload.utterance_id] = payload
        elif isinstance(payload, SegmentDiarized) and payload.is_final:
            self.diarized[payload.utterance_id] = payload
        elif isinstance(payload, SegmentClassified):
            self.classified[payload.utterance_id].append(payload)
        elif isinstance(payload, AudioDenoised):
            self.denoised.append(payload)
        elif isinstance(payload, StageFinished):
            self.finished.add(payload.stage)


class Path:
    """Runs sessions through the stages; one thread uses it."""

    def __init__(self, services: Sequence[str] = STAGE_SERVICES) -> None:
        platform = PlatformSettings(lanes=(LANE,))
        self._bus = MemoryBus()
        self._bus.create_topics(topic_specs(PARTITIONS))
        self._services = [import_module(f"services.{name}.compose").compose(platform) for name in services]
        self._threads = ServiceThreads(self._bus, platform, self._services)
        self._threads.start()

    def run(self, files: Sequence[tuple[bytes, SessionConfig]]) -> list[Outcome]:
        """Mono pcm_s16le and its configuration, all at once; outcomes in the same order. Raises ``TimeoutError`` when a stage hangs."""
        topics = (*GATEWAY_READS[:-1], AUDIO_DENOISED)
        reader = self._bus.read({TopicPartition(topic.name(LANE), number): "latest" for topic in topics for number in range(PARTITIONS)})
        outcomes = {uuid.uuid4().hex: (Outcome(), config) for _, config in files}
        started = time.perf_counter()
        feeder = threading.Thread(target=self._feed, args=([(key, pcm, config) for key, (pcm, config) in zip(outcomes, files, strict=True)],))
        feeder.start()
        waiting = set(outcomes)
        while waiting:
            if self._threads.failed.is_set() or time.perf_counter() - started > PATIENCE_S:
                raise TimeoutError("a stage failed or hangs; its log stands above")
            for record in reader.poll(500, 0.1):
                event = codec.decode(record.key, record.value, record.headers)
                outcome, config = outcomes[event.session_id]
                is_audio = record.topic == AUDIO_DENOISED.name(LANE)
                if is_audio == isinstance(event.payload, AudioDenoised):
                    outcome.take(event.payload)
                if outcome.finished >= stages_to_finish(config.stages) and event.session_id in waiting:
                    waiting.discard(event.session_id)
                    outcome.seconds = time.perf_counter() - started
        feeder.join()
        reader.close()
        return [outcome for outcome, _ in outcomes.values()]

    def _feed(self, files: Sequence[tuple[str, bytes, SessionConfig]]) -> None:
        producer = self._bus.producer()
        for session_id, pcm, config in files:
            for sequence, payload in enumerate(_payloads(pcm, config), 1):
                event = Event(session_id, payload, "gateway", sequence, f"{session_id}/gateway/{sequence}", time.time(), time.time())
                producer.send(AUDIO_RECEIVED.name(LANE), *codec.encode(event, AUDIO_RECEIVED.encoding))

    def close(self) -> None:
        self._threads.stop()
        for service in self._services:
            service.close()


def _payloads(pcm: bytes, config: SessionConfig) -> Iterator[Payload]:
    yield SessionOpened(config)
    size = config.sample_rate_hz * 2
    for at in range(0, len(pcm), size):
        yield AudioReceived(at // 2, pcm[at : at + size])
    yield SessionEnded()


@contextmanager
def running(services: Sequence[str] = STAGE_SERVICES) -> Iterator[Path]:
    path = Path(services)
    try:
        yield path
    finally:
        path.close()
