"""One session's state in the denoise stage, and how it is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.denoise.boundaries import Boundaries, BoundaryRules
from services.denoise.engine import FRAME_SAMPLES, HOP_SAMPLES, NO_SAMPLES, SpeechDetector, State, Suppressor
from services.denoise.levels import Levels, StrengthRule
from services.denoise.packing import Array, pack, unpack
from services.denoise.resample import Resampler
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable
from voxrelay.events import SessionConfig
from voxrelay.models.slot import EngineSlot, Loaded

PAUSE_LIMITS_MS = (100, 5_000)


@dataclass(frozen=True, slots=True)
class Engines:
    """Those of one session, for good: both keep a state that is the model's own, and the suppressor's delay is the model's too."""

    suppressor: Loaded[Suppressor]
    detector: Loaded[SpeechDetector]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What all sessions of a stage share. ``pause_ms`` is for sessions that set none."""

    suppressors: EngineSlot[Suppressor]
    detectors: EngineSlot[SpeechDetector]
    strength: StrengthRule
    boundaries: BoundaryRules
    pause_ms: int

    def take(self, session_id: str) -> Engines:
        """For a session that opens. Whoever takes them leaves them."""
        return Engines(self.suppressors.take(session_id), self.detectors.take(session_id))

    def take_same(self, suppressor: str, detector: str) -> Engines:
        """For a session that was saved with these models. Raises ``EngineUnusable`` when one cannot be had any more."""
        held = self.suppressors.take_same(suppressor)
        try:
            return Engines(held, self.detectors.take_same(detector))
        except EngineUnusable:
            self.suppressors.leave(held)
            raise

    def leave(self, engines: Engines) -> None:
        self.suppressors.leave(engines.suppressor)
        self.detectors.leave(engines.detector)

    def pause_samples(self, config: SessionConfig) -> int:
        pause_ms = config.pause_ms or self.pause_ms
        return min(max(pause_ms, PAUSE_LIMITS_MS[0]), PAUSE_LIMITS_MS[1]) * 16


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame whose audio is not all passed on yet, and what is known of it."""

    probability: float
    snr_db: float


class DenoiseSession:
    """From chunks to hops for the suppressor and frames for the detector, and from their answers to output. All positions in samples at 16 kHz."""

    def __init__(self, config: SessionConfig, front_end: FrontEnd, engines: Engines) -> None:
        """Raises ``ValueError`` for a rate or number of channels that is not served."""
        self._front_end, self.engines = front_end, engines
        self.config = config
        self.resampler = Resampler(config.sample_rate_hz, config.channels)
        self.suppression: State = engines.suppressor.engine.open()
        self.detection: State = engines.detector.engine.open()
        self.levels = Levels()
        self.boundaries = Boundaries(front_end.boundaries, pause=front_end.pause_samples(config), is_gated=config.vad_enabled)
        self.passed_on = 0  # samples given out
        self._taken = 0  # samples given to the suppressor, or waiting for a whole hop
        self.probability = 0.0  # of the newest frame
        self.judged: list[JudgedFrame] = []
        self._decided = 0  # end of the newest frame the boundaries have seen
        self._unjudged: Float32Array = NO_SAMPLES  # less than a frame, for the detector
        self._unhopped: Float32Array = NO_SAMPLES  # less than a hop, for the suppressor
        self._strength = 0.0  # in force since the newest frame

    def configure(self, config: SessionConfig) -> None:
        """For all audio that is not decided yet. The rate and the channels stay."""
        self.config = config
        self.boundaries.configure(pause=self._front_end.pause_samples(config), is_gated=config.vad_enabled)

    def frames_of(self, samples: Float32Array, *, is_last: bool) -> Float32Array:
        """The frames these samples complete, shape (frames, 512); the last is filled up with silence."""
        heard = np.concatenate((self._unjudged, samples))
        if is_last and heard.size % FRAME_SAMPLES:
            heard = np.concatenate((heard, np.zeros(-heard.size % FRAME_SAMPLES, dtype=np.float32)))
        whole = heard.size - heard.size % FRAME_SAMPLES
        self._unjudged = heard[whole:].copy()
        return heard[:whole].reshape(-1, FRAME_SAMPLES)

    def judge(self, frames: Float32Array, probabilities: Float32Array) -> list[float]:
        """Takes the detector's answer in. The strength in force before these frames and after each of them."""
        strengths = [self._strength]
        asked = self.config.noise_suppression if "denoise" in self.config.stages else 0.0
        for frame, spoken in zip(frames, probabilities, strict=True):
            probability = round(float(spoken), 4)
            self.levels.hear(frame, probability)
            self._strength = self._front_end.strength.strength(asked, self.levels)
            strengths.append(self._strength)
            self.judged.append(JudgedFrame(probability, round(self.levels.snr_db, 1)))
        return strengths

    def hops_of(self, samples: Float32Array, strengths: list[float], *, is_last: bool) -> tuple[Float32Array, Float32Array]:
        """Whole hops and the strength for each: that of the newest frame that had ended when the hop did, wherever chunks end.

        At the end as much silence is added as brings everything out of the suppressor.
        """
        begin = self._taken - self._unhopped.size
        first_frame_end = self._taken // FRAME_SAMPLES * FRAME_SAMPLES
        self._taken += samples.size
        heard = np.concatenate((self._unhopped, samples))
        if is_last:
            tail = self.engines.suppressor.engine.delay_samples
            tail += -(heard.size + tail) % HOP_SAMPLES
            heard = np.concatenate((heard, np.zeros(tail, dtype=np.float32)))
        hops = heard.size // HOP_SAMPLES
        self._unhopped = heard[hops * HOP_SAMPLES :].copy()
        ends = begin + HOP_SAMPLES * np.arange(1, hops + 1)
        frame = np.minimum((ends - first_frame_end) // FRAME_SAMPLES, len(strengths) - 1)
        return heard[: hops * HOP_SAMPLES], np.asarray(strengths, dtype=np.float32)[frame]

    def pass_on(self, cleaned: Float32Array, *, is_last: bool) -> Float32Array:
        """What of the suppressor's answer belongs to the session."""
        if is_last:
            cleaned = cleaned[: self._taken - self.passed_on]
        self.passed_on += cleaned.size
        return cleaned

    def due_frames(self, *, is_last: bool) -> list[tuple[int, int, JudgedFrame]]:
        """The judged frames whose audio has been passed on whole: start, end, judgement."""
        due = []
        while self.judged and (self._decided + FRAME_SAMPLES <= self.passed_on or (is_last and self._decided < self.passed_on)):
            end = min(self._decided + FRAME_SAMPLES, self.passed_on)
            due.append((self._decided, end, self.judged.pop(0)))
            self._decided = end
        return due

    def dump(self) -> bytes:
        arrays = {"unjudged": self._unjudged, "unhopped": self._unhopped}
        arrays["resampled"], counters = self.resampler.dump()
        arrays |= {f"suppression.{name}": array for name, array in self.suppression.items()}
        arrays |= {f"detection.{name}": array for name, array in self.detection.items()}
        values = {
            "config": asdict(self.config),
            "models": [self.engines.suppressor.model, self.engines.detector.model],
            "resampler": counters,
            "levels": self.levels.dump(),
            "boundaries": self.boundaries.dump(),
            "judged": [[frame.probability, frame.snr_db] for frame in self.judged],
            "positions": [self.passed_on, self._decided, self._taken],
            "numbers": [self.probability, self._strength],
        }
        return pack(arrays, values)

    @classmethod
    def load(cls, state: bytes, front_end: FrontEnd) -> DenoiseSession:
        """Takes the engines the session had. Raises ``EngineUnusable`` when one cannot be had any more."""
        arrays, values = unpack(state)
        engines = front_end.take_same(*values.get("models", ("", "")))
        try:
            return cls._loaded(arrays, values, front_end, engines)
        except BaseException:
            front_end.leave(engines)
            raise

    @classmethod
    def _loaded(cls, arrays: dict[str, Array], values: dict[str, Any], front_end: FrontEnd, engines: Engines) -> DenoiseSession:
        saved: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values["config"].items()}
        config = SessionConfig(**saved)
        session = cls(config, front_end, engines)
        session.resampler.load(arrays["resampled"], values["resampler"])
        session.suppression = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith("suppression.")}
        session.detection = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith("detection.")}
        session.levels = Levels.load(values["levels"])
        session.boundaries = Boundaries.load(front_end.boundaries, values["boundaries"])
        session.judged = [JudgedFrame(probability, snr_db) for probability, snr_db in values["judged"]]
        session.passed_on, session._decided, session._taken = values["positions"]
        session.probability, session._strength = values["numbers"]
        session._unjudged, session._unhopped = arrays["unjudged"], arrays["unhopped"]
        return session
