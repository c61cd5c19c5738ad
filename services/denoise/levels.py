"""How loud speech and noise are in one session, and how strongly to suppress for that."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import log10

from voxrelay.audio import Float32Array, level_dbfs

SILENCE_DBFS = -120.0
NOISE_PROBABILITY = 0.2  # frames below are taken for noise alone
SPEECH_PROBABILITY = 0.6  # frames above are taken for speech
NOISE_RISE, NOISE_FALL = 0.06, 0.3  # shares by which the floor follows a frame that is louder, quieter
SPEECH_MEMORY_FRAMES = 100  # 3.2 s of speech
EXPECTED_SPEECH_DBFS, EXPECTED_WEIGHT = -26.0, 10  # what speech is taken to be like until so many frames were heard

SNR_LIMITS_DB = (-20.0, 60.0)


@dataclass(slots=True)
class Levels:
    """Tracks one session by frames of 32 ms of unsuppressed audio and their speech probabilities.

    The floor falls with any quieter frame and rises only in frames without speech; speech is the mean power of clear speech frames.
    """

    noise_dbfs: float = 0.0  # nothing heard yet
    speech_power: float = 10.0 ** (EXPECTED_SPEECH_DBFS / 10.0)
    speech_frames: int = EXPECTED_WEIGHT

    def hear(self, frame: Float32Array, probability: float) -> None:
        level = level_dbfs(frame)
        if level < self.noise_dbfs:
            self.noise_dbfs += (level - self.noise_dbfs) * (NOISE_FALL if self.noise_dbfs < 0.0 else 1.0)
        elif probability < NOISE_PROBABILITY:
            self.noise_dbfs += (level - self.noise_dbfs) * NOISE_RISE
        if probability > SPEECH_PROBABILITY:
            self.speech_frames = min(self.speech_frames + 1, SPEECH_MEMORY_FRAMES)
            self.speech_power += (10.0 ** (level / 10.0) - self.speech_power) / self.speech_frames

    @property
    def snr_db(self) -> float:
        """Speech above the noise floor, in decibels, within -20 to 60."""
        noise_power = 10.0 ** (self.noise_dbfs / 10.0)
        return min(max(10.0 * log10(max(self.speech_power / noise_power - 1.0, 1e-2)), SNR_LIMITS_DB[0]), SNR_LIMITS_DB[1])

    def dump(self) -> list[float]:
        return list(astuple(self))

    @classmethod
    def load(cls, saved: list[float]) -> Levels:
        return cls(float(saved[0]), float(saved[1]), int(saved[2]))


@dataclass(frozen=True, slots=True)
class StrengthRule:
    """Full strength up to ``full_below_db`` of signal-to-noise ratio, none from ``none_above_db``, in between by a straight line."""

    full_below_db: float
    none_above_db: float
    most: float = 1.0

    def strength(self, asked: float, levels: Levels) -> float:
        """What a session asked for, or as much as helps where it asked for nothing (below 0)."""
        if asked >= 0.0:
            return min(asked, 1.0)
        share = (self.none_above_db - levels.snr_db) / (self.none_above_db - self.full_below_db)
        return self.most * min(max(share, 0.0), 1.0)
