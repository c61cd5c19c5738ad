"""What only DeepFilterNet's form brings: another sampling rate inside, and states that a session begins with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.denoise.engine import ENGINES, HOP_SAMPLES, Passage
from tests.contracts.denoise.tiny_deepfilternet import build_tiny_deepfilternet
from voxrelay.engines import EngineUnusable, load

HOPS = 125


def test_a_sample_comes_back_where_it_was(tmp_path: Path) -> None:
    """The gate is wide open for a loud tone, so what comes out is the tone, in phase: the delays inside are what the adapter takes them for."""
    engine = load("denoise", ENGINES, "deepfilternet", weights=build_tiny_deepfilternet(tmp_path))
    tone = np.asarray(0.5 * np.sin(2 * np.pi * 440 * np.arange(HOPS * HOP_SAMPLES) / 16_000), dtype=np.float32)
    (out,) = engine.process([Passage(engine.open(), tone, np.ones(HOPS, dtype=np.float32))])
    assert out.size == tone.size - engine.delay_samples
    middle = slice(4_000, out.size)
    assert np.abs(out[middle] - tone[: out.size][middle]).max() < 0.01


def test_other_weights_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match=r"cannot be read as the states.*voxrelay models pull deepfilternet3"):
        load("denoise", ENGINES, "deepfilternet", weights=tmp_path)
    build_tiny_deepfilternet(tmp_path)
    np.savez(tmp_path / "initial_states.npz", level=np.zeros(1))
    with pytest.raises(EngineUnusable, match=r"another model than was expected.*voxrelay models pull deepfilternet3"):
        load("denoise", ENGINES, "deepfilternet", weights=tmp_path)
    np.savez(tmp_path / "initial_states.npz", level=np.asarray([print], dtype=object))
    with pytest.raises(EngineUnusable, match="cannot be read as the states"):
        load("denoise", ENGINES, "deepfilternet", weights=tmp_path)
