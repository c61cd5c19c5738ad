"""Every task with engines whose name can be told from the stage's results, and nothing heavy in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from services.classify.stage import AcousticStage, TextStage
from services.denoise.boundaries import BoundaryRules
from services.denoise.levels import StrengthRule
from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from services.diarize.clustering import ClusterRules
from services.diarize.stage import DiarizeStage
from services.synth.engine import Mark, Spoken, Voice
from services.synth.stage import SynthStage
from services.transcribe.stage import TranscribeStage
from tests.unit.diarize.scripted import ScriptedEmbedder
from tests.unit.transcribe.scripted import ScriptedTranscriber
from tests.unit.transcribe.test_stage import conversation
from voxrelay import topology
from voxrelay.audio import float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.events import (
    Attribute,
    AudioDenoised,
    AudioReceived,
    Engine,
    Payload,
    SegmentTranscribed,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    StageFinished,
    SynthesisRequested,
)
from voxrelay.models.slot import EngineSlot
from voxrelay.stage import Stage
from voxrelay.topology import StageNode

MODELS = ("", "better", "candidate")  # the engine of the settings, and two of a registry
CHUNK = 1_600
LEVEL = 0.25


class Named:
    """``is_closed`` engines must not be asked: the stages hold what they use."""

    def __init__(self, model: str) -> None:
        self.model, self.engine, self.is_closed = model, Engine("scripted", "1", model), False

    def _ask(self) -> None:
        assert not self.is_closed, "a model in use was closed"

    def check(self) -> None:
        self._ask()

    def close(self) -> None:
        self.is_closed = True


class Transcriber(Named, ScriptedTranscriber):
    def __init__(self, model: str) -> None:
        ScriptedTranscriber.__init__(self)
        Named.__init__(self, model)

    def advance(self, work: Any) -> Any:
        self._ask()
        return super().advance(work)

    def close(self) -> None:
        Named.close(self)


class Embedder(Named, ScriptedEmbedder):
    def __init__(self, model: str) -> None:
        ScriptedEmbedder.__init__(self)
        Named.__init__(self, model)

    def embed(self, windows: Any) -> Any:
        self._ask()
        return super().embed(windows)


class Classifier(Named):
    names = ("size",)

    def classify(self, several: Sequence[Any]) -> list[tuple[Attribute, ...]]:
        self._ask()
        return [(Attribute("size", float(len(getattr(one, "text", one))), 1.0),) for one in several]


class Synthesizer(Named):
    sample_rate_hz, at_once = 16_000, 2

    def voices(self) -> Sequence[Voice]:
        return [Voice("en-us", "en-us", "")]

    def find(self, name: str) -> Voice | None:
        return self.voices()[0]

    def speak(self, sentences: Sequence[Any]) -> list[Spoken]:
        self._ask()
        level = np.full(CHUNK, _share(self.model), dtype=np.float32)
        return [Spoken(pcm_s16le_from_float32(level), (Mark("word", 0),)) for _ in sentences]


class Suppressor(Named):
    """Its model's share of the sound, late by a delay that is its model's too."""

    @property
    def delay_samples(self) -> int:
        return 128 * MODELS.index(self.model)

    def open(self) -> dict[str, Any]:
        return {"late": np.zeros(0, dtype=np.float32), "given": np.zeros(1, dtype=np.int64)}

    def process(self, work: Sequence[Any]) -> list[Any]:
        self._ask()
        return [self._cleaned(one) for one in work]

    def _cleaned(self, passage: Any) -> Any:
        held = np.concatenate((passage.state["late"], passage.samples * _share(self.model) / LEVEL))
        keep = min(held.size, self.delay_samples)
        passage.state["late"] = held[held.size - keep :]
        return held[: held.size - keep]


class Detector(Named):
    def open(self) -> dict[str, Any]:
        return {"frames": np.zeros(1)}

    def process(self, work: Sequence[Any]) -> list[Any]:
        self._ask()
        return [np.full(len(frames), _share(self.model), dtype=np.float32) for _, frames in work]


def _share(model: str) -> float:
    return 0.125 * (1 + MODELS.index(model))


def _model_at(share: float) -> str:
    return MODELS[round(share / 0.125) - 1]


@dataclass(frozen=True)
class Task:
    """``halves`` of a session, with something to tell the model by in each; ``tell`` gives the models of results, in order."""

    name: str
    node: StageNode
    engine: Callable[[str], Named]
    make: Callable[[EngineSlot[Any]], Stage]
    halves: Callable[[], tuple[Sequence[Payload], Sequence[Payload]]]
    keeps_its_model: bool  # from the session's first record to its last

    def tell(self, results: Sequence[Payload]) -> list[str]:
        """Each once in a row."""
        models = list(self._models(results))
        return [model for place, model in enumerate(models) if place == 0 or models[place - 1] != model]

    def _models(self, results: Sequence[Payload]) -> Iterator[str]:
        for result in results:
            if isinstance(result, AudioDenoised):
                loudest = float(np.abs(float32_from_pcm_s16le(result.pcm_s16le)).max())
                yield _model_at(result.speech_probability if self.name == "voice-activity" else loudest)
            elif getattr(result, "engine", None) is not None and result.is_durable:
                yield result.engine.version.partition("+")[2]  # type: ignore[attr-defined]


def _denoise(slot: EngineSlot[Any]) -> DenoiseStage:
    is_detector = slot.task == "voice-activity"
    suppressors = EngineSlot("denoise", Suppressor("")) if is_detector else slot
    detectors = slot if is_detector else EngineSlot("voice-activity", Detector(""))
    return DenoiseStage(FrontEnd(suppressors, detectors, StrengthRule(12.0, 22.0, 0.6), BoundaryRules(), 500))


def _received() -> tuple[Sequence[Payload], Sequence[Payload]]:
    sound = pcm_s16le_from_float32(np.full(CHUNK, LEVEL, dtype=np.float32))
    chunks = [AudioReceived(number * CHUNK, sound) for number in range(20)]
    return [SessionOpened(SessionConfig()), *chunks[:10]], [*chunks[10:], SessionEnded()]


def _utterances() -> tuple[Sequence[Payload], Sequence[Payload]]:
    parts = conversation(SessionConfig(interim_results=False))
    return parts[:30], parts[30:]


def _transcripts() -> tuple[Sequence[Payload], Sequence[Payload]]:
    said = [SegmentTranscribed(f"u{number}", 1, True, number, number + 0.5, "so it is", 0.9) for number in range(4)]
    return said[:2], [*said[2:], StageFinished("transcribe", 4, 4.0)]


def _requests() -> tuple[Sequence[Payload], Sequence[Payload]]:
    return [SynthesisRequested("One. Two. Three.", sample_rate_hz=16_000)], []


TASKS = (
    Task("denoise", topology.DENOISE, Suppressor, _denoise, _received, True),
    Task("voice-activity", topology.DENOISE, Detector, _denoise, _received, True),
    Task("diarize", topology.DIARIZE, Embedder, partial(DiarizeStage, rules=lambda _: ClusterRules(0.5, 0.4)), _utterances, True),
    Task("transcribe", topology.TRANSCRIBE, Transcriber, TranscribeStage, _utterances, False),
    Task("classify", topology.CLASSIFY, Classifier, AcousticStage, _utterances, False),
    Task("classify-text", topology.CLASSIFY_TEXT, Classifier, TextStage, _transcripts, False),
    Task("synth", topology.SYNTH, Synthesizer, SynthStage, _requests, True),
)
