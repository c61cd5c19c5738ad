"""How strongly to suppress: nothing before the noise is known, and by how far speech stands above it from then on."""

from __future__ import annotations

import numpy as np

from services.denoise.levels import START_FRAMES, Levels, StrengthRule
from voxrelay.audio import Float32Array

RULE = StrengthRule(12.0, 22.0, 0.6)
BY_ITSELF = -1.0  # what a session asks for that asks for nothing
NOISE, SPEECH = 0.05, 0.95


def frame(level_dbfs: float) -> Float32Array:
    return np.full(512, 10.0 ** (level_dbfs / 20.0), dtype=np.float32)


def test_who_speaks_at_once_is_not_taken_for_noise() -> None:
    """Clean speech without a pause: its quietest frames are no floor."""
    levels = Levels()
    for number in range(3 * START_FRAMES):
        levels.hear(frame(-20.0 if number % 4 else -30.0), SPEECH)
        assert RULE.strength(BY_ITSELF, levels) == 0.0
    assert RULE.strength(1.0, levels) == 1.0  # what was asked for is done all the same
    for _ in range(30):
        levels.hear(frame(-70.0), NOISE)
    assert RULE.strength(BY_ITSELF, levels) == 0.0


def test_noise_is_suppressed_from_the_first_pause_on() -> None:
    levels = Levels()
    for _ in range(2 * START_FRAMES):
        levels.hear(frame(-20.0), SPEECH)
    levels.hear(frame(-25.0), NOISE)
    assert RULE.strength(BY_ITSELF, levels) == RULE.most


def test_what_is_saved_comes_back_and_an_earlier_versions_too() -> None:
    levels = Levels()
    for probability in (SPEECH, NOISE):
        levels.hear(frame(-20.0), probability)
    assert Levels.load(levels.dump()) == levels
    earlier = Levels.load(levels.dump()[:4])
    assert not earlier.has_heard_noise
    earlier.hear(frame(-20.0), NOISE)
    assert earlier.has_heard_noise
