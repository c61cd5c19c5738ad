"""What every suppressor and every detector promises: one suite over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.denoise.engine import DETECTORS, ENGINES, FRAME_SAMPLES, HOP_SAMPLES, Passage, SpeechDetector, State, Suppressor
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings

SESSIONS = 7
HOPS = 140


@pytest.fixture(params=sorted(ENGINES))
def suppressor(request: pytest.FixtureRequest) -> Suppressor:
    return load("denoise", ENGINES, request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> SpeechDetector:
    registry = ModelRegistry(PlatformSettings().models)
    try:
        weights = registry.path("silero-vad")
    except EngineUnusable as error:
        pytest.skip(str(error))
    return load("speech detection", DETECTORS, request.param, weights=weights)  # type: ignore[no-any-return]


def _audio(session: int, samples: int) -> Float32Array:
    random = np.random.default_rng(session)
    envelope = np.repeat(random.choice([0.003, 0.02, 0.2], -(-samples // 2_000)), 2_000)[:samples]
    return (random.standard_normal(samples) * envelope).astype(np.float32)


def _saved(state: State) -> State:
    return {name: np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape).copy() for name, array in state.items()}


def _in_random_company(state: Callable[[], State], lengths: int, step: Callable[[list[tuple[int, State, int, int]]], list[Any]]) -> list[Any]:
    """All sessions' parts, handed over in random groups and amounts, states saved and restored now and then."""
    random = np.random.default_rng(8)
    states, at, parts = [state() for _ in range(SESSIONS)], [0] * SESSIONS, [[] for _ in range(SESSIONS)]
    while min(at) < lengths:
        chosen = [int(s) for s in random.permutation(SESSIONS)[: random.integers(1, SESSIONS + 1)] if at[s] < lengths]
        work = [(s, states[s], at[s], min(lengths, at[s] + int(random.integers(0, 14)))) for s in chosen]
        for (session, _, _, until), result in zip(work, step(work), strict=True):
            at[session] = until
            parts[session].append(result)
            if random.random() < 0.2:
                states[session] = _saved(states[session])
    return [np.concatenate(part) for part in parts]


def test_a_suppressor_gives_the_same_bits_in_any_company(suppressor: Suppressor) -> None:
    audio = [_audio(session, HOPS * HOP_SAMPLES) for session in range(SESSIONS)]
    strengths = [np.random.default_rng(session).random(HOPS).astype(np.float32) for session in range(SESSIONS)]

    def step(work: list[tuple[int, State, int, int]]) -> list[Float32Array]:
        return suppressor.process(
            [Passage(state, audio[s][first * HOP_SAMPLES : last * HOP_SAMPLES], strengths[s][first:last]) for s, state, first, last in work]
        )

    together = _in_random_company(suppressor.open, HOPS, step)
    for session, result in enumerate(together):
        alone = suppressor.process([Passage(suppressor.open(), audio[session], strengths[session])])[0]
        assert alone.size == HOPS * HOP_SAMPLES - suppressor.delay_samples
        assert result.tobytes() == alone.tobytes()


def test_a_suppressor_without_strength_changes_nothing(suppressor: Suppressor) -> None:
    audio = _audio(3, HOPS * HOP_SAMPLES)
    out = suppressor.process([Passage(suppressor.open(), audio, np.zeros(HOPS, dtype=np.float32))])[0]
    assert np.abs(out - audio[: out.size]).max() < 1e-4 / 32_768 * 100


def test_a_detector_gives_the_same_bits_in_any_company(detector: SpeechDetector) -> None:
    count = 40
    frames = [_audio(session, count * FRAME_SAMPLES).reshape(-1, FRAME_SAMPLES) for session in range(SESSIONS)]

    def step(work: list[tuple[int, State, int, int]]) -> list[Float32Array]:
        return detector.process([(state, frames[s][first:last]) for s, state, first, last in work])

    together = _in_random_company(detector.open, count, step)
    for session, result in enumerate(together):
        alone = detector.process([(detector.open(), frames[session])])[0]
        assert ((alone >= 0) & (alone <= 1)).all()
        assert result.tobytes() == alone.tobytes()


@pytest.mark.parametrize("sessions", [2, 16, 50, 64])
def test_a_detector_gives_a_row_the_same_bits_in_every_batch_size(detector: SpeechDetector, sessions: int) -> None:
    frames = [_audio(session, 3 * FRAME_SAMPLES).reshape(-1, FRAME_SAMPLES) for session in range(sessions)]
    together = detector.process([(detector.open(), frame) for frame in frames])
    alone = [detector.process([(detector.open(), frame)])[0] for frame in frames]
    assert [row.tobytes() for row in together] == [row.tobytes() for row in alone]


def test_weights_of_another_kind_are_refused(tmp_path: Any) -> None:
    wrong = tmp_path / "weights.onnx"
    wrong.write_bytes(b"not a model")
    with pytest.raises(EngineUnusable, match="voxrelay models pull silero-vad"):
        load("speech detection", DETECTORS, "silero", weights=wrong)
