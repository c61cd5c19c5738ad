"""transcribe as it is, with an engine whose words are digests of the audio it heard: models of it differ in nothing but their names. And denoise
as it is, with a suppressor that gives back a share of the sound, late.

python -m tests.integration.exchangeable transcribe|denoise      over Kafka, settings as any service
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from services.denoise.boundaries import BoundaryRules
from services.denoise.compose import suppressor_model
from services.denoise.engine import ENGINES as SUPPRESSORS
from services.denoise.engine import HOP_SAMPLES, Passage, SpeechDetector, State, Suppressor
from services.denoise.levels import StrengthRule
from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from services.transcribe.compose import compose
from services.transcribe.engine import ENGINES, Advance, Hypothesis, StreamOptions
from tests.unit.denoise.speechlike import LoudnessDetector
from voxrelay.audio import Float32Array, pcm_s16le_from_float32
from voxrelay.events import Engine, Word
from voxrelay.models.slot import EngineSlot
from voxrelay.process import main
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings
from voxrelay.topology import DENOISE


class DigestTranscriber:
    languages = ("en",)

    def __init__(self, is_broken: bool = False, before: str = "", **_settings: Any) -> None:
        """``before`` is a word it says before everything, which nobody said."""
        if is_broken:
            raise RuntimeError("weights of another net")
        self.engine = Engine("digest", "1", "none")
        self._before = f"{before} " if before else ""
        self._streams: dict[int, list[Float32Array]] = {}
        self._numbers = count(1)
        self._is_closed = False

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        number = next(self._numbers)
        self._streams[number] = []
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        assert not self._is_closed, "a model in use was closed"
        return [self._answer(step) for step in work]

    def _answer(self, step: Advance) -> Hypothesis | None:
        self._streams[step.stream].append(step.samples)
        if not step.is_last:
            return None
        samples = np.concatenate(self._streams.pop(step.stream))
        samples = samples[: samples.size - step.surplus_samples]
        word = hashlib.sha256(pcm_s16le_from_float32(samples)).hexdigest()[:16]
        return Hypothesis(self._before + word, (Word(word, 0.0, samples.size / 16_000, 1.0),), 1.0, samples.size, "en")

    def discard(self, stream: int) -> None:
        self._streams.pop(stream, None)

    def check(self) -> None:
        pass

    def close(self) -> None:
        self._is_closed = True


class ShareSuppressor:
    def __init__(self, share: float = 1.0, delay_hops: int = 1) -> None:
        self.engine = Engine("share", "1", "none")
        self._share, self.delay_samples = share, delay_hops * HOP_SAMPLES

    def open(self) -> State:
        return {"late": np.zeros(0, dtype=np.float32)}

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        return [self._cleaned(passage) for passage in work]

    def _cleaned(self, passage: Passage) -> Float32Array:
        held = np.concatenate((passage.state["late"], passage.samples * np.float32(self._share)))
        given = max(0, held.size - self.delay_samples)
        passage.state["late"] = held[given:]
        return held[:given]

    def check(self) -> None:
        pass


ENGINES["digest"] = "tests.integration.exchangeable:DigestTranscriber"
SUPPRESSORS["share"] = "tests.integration.exchangeable:ShareSuppressor"


def compose_denoise(platform: PlatformSettings) -> Service:
    """With a detector that needs no weights."""
    suppressors: EngineSlot[Suppressor] = EngineSlot("denoise", ShareSuppressor(), partial(suppressor_model, platform))
    detectors: EngineSlot[SpeechDetector] = EngineSlot("voice-activity", LoudnessDetector())
    front_end = FrontEnd(suppressors, detectors, StrengthRule(12.0, 22.0, 0.6), BoundaryRules(), 500)
    return Service("denoise", stages=[StagePart(DENOISE, lambda _lane: DenoiseStage(front_end))], slots=[suppressors, detectors])


if __name__ == "__main__":
    services = {"transcribe": compose, "denoise": compose_denoise}
    main(sys.argv[1], services[sys.argv[1]])
