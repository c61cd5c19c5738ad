"""How loud speech and noise are in one session, and how strongly to suppress for that."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import log10

from voxrelay.audio import Float32Array, level_dbfs

NOISE_PROBABILITY = 0.2  # frames below are taken for noise alone
SPEECH_PROBABILITY = 0.6  # frames above are taken for speech
NOISE_SHARE = 0.1  # of the way to its level the floor follows a frame without speech
FALL_SHARE = 0.3  # and any other frame that is quieter
START_FRAMES = 16  # the quietest of the first 0.5 s is the first floor: speech may set in at once
SPEECH_MEMORY_FRAMES = 100  # 3.2 s of speech
EXPECTED_SPEECH_DBFS, EXPECTED_WEIGHT = -26.0, 10  # what speech is taken to be like until so many frames were heard

SNR_LIMITS_DB = (-20.0, 60.0)


@dataclass(slots=True)
class Levels:
    """Tracks one session by frames of 32 ms of unsuppressed audio and their speech probabilities.

    The floor is the mean level of frames without speech, and no frame with speech lies below it for long; speech is the mean power of clear
    speech frames. As long as there was no frame without speech the floor is a guess: somebody may have begun to speak at once.
    """

    noise_dbfs: float = 0.0  # nothing heard yet
    speech_power: float = 10.0 ** (EXPECTED_SPEECH_DBFS / 10.0)
    speech_frames: int = EXPECTED_WEIGHT
    frames: int = 0
    has_heard_noise: bool = False

    def hear(self, frame: Float32Array, probability: float) -> None:
        level = level_dbfs(frame)
        self.frames += 1
        self.has_heard_noise = self.has_heard_noise or probability < NOISE_PROBABILITY
        if self.frames <= START_FRAMES:
            self.noise_dbfs = min(self.noise_dbfs, level)
        elif probability < NOISE_PROBABILITY:
            self.noise_dbfs += (level - self.noise_dbfs) * NOISE_SHARE
        elif level < self.noise_dbfs:
            self.noise_dbfs += (level - self.noise_dbfs) * FALL_SHARE
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
        """What an earlier version saved lacks the last: then the next frame without speech tells."""
        return cls(float(saved[0]), float(saved[1]), int(saved[2]), int(saved[3]), bool(saved[4]) if len(saved) > 4 else False)


@dataclass(frozen=True, slots=True)
class StrengthRule:
    """Full strength up to ``full_below_db`` of signal-to-noise ratio, none from ``none_above_db``, in between by a straight line."""

    full_below_db: float
    none_above_db: float
    most: float = 1.0

    def strength(self, asked: float, levels: Levels) -> float:
        """What a session asked for, or as much as helps where it asked for nothing (below 0): none until the floor is known."""
        if asked >= 0.0:
            return min(asked, 1.0)
        if levels.frames < START_FRAMES or not levels.has_heard_noise:
            return 0.0
        share = (self.none_above_db - levels.snr_db) / (self.none_above_db - self.full_below_db)
        return self.most * min(max(share, 0.0), 1.0)
