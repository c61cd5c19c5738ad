"""What every suppressor and every detector promises: one suite over all of them."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.metrics.signals import si_sdr_db
from services.denoise.engine import DETECTORS, ENGINES, FRAME_SAMPLES, HOP_SAMPLES, Passage, SpeechDetector, State, Suppressor
from tests.contracts.denoise.tiny_deepfilternet import build_tiny_deepfilternet
from tests.speech import read_speech
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.registry import ModelRegistry
from voxrelay.onnx import OnnxModel
from voxrelay.settings import PlatformSettings

SESSIONS = 7
LEAST_GAIN_DB = {"dtln": 1.5, "gtcrn": 1.5, "omlsa": 0.0, "passthrough": 0.0}  # well below what was measured
HOPS = 112  # more than omlsa's longest memory


FILES = {"dtln": "dtln", "gtcrn": "gtcrn/gtcrn_simple.onnx"}  # below the folder of real weights


def load_suppressor(name: str, request: pytest.FixtureRequest) -> Suppressor:
    if name == "deepfilternet":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("deepfilternet")
        return load("denoise", ENGINES, name, weights=build_tiny_deepfilternet(folder))  # type: ignore[no-any-return]
    options = {"weights": request.getfixturevalue("model_files") / FILES[name]} if name in FILES else {}
    return load("denoise", ENGINES, name, **options)  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=sorted(ENGINES))
def suppressor(request: pytest.FixtureRequest) -> Suppressor:
    return load_suppressor(request.param, request)


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


def test_a_suppressor_gives_back_as_much_as_it_says_after_every_hop(suppressor: Suppressor) -> None:
    state, audio, given, back = suppressor.open(), _audio(1, 12 * HOP_SAMPLES), 0, 0
    for hops in (1, 0, 1, 2, 1, 3, 4):
        samples = audio[given : given + hops * HOP_SAMPLES]
        (out,) = suppressor.process([Passage(state, samples, np.ones(hops, dtype=np.float32))])
        given, back = given + samples.size, back + out.size
        assert out.dtype == np.float32
        assert back == max(0, given - suppressor.delay_samples)


SQUARE = np.asarray(np.where(np.arange(HOPS * HOP_SAMPLES) % 80 < 40, 1.0, -1.0), dtype=np.float32)


@pytest.mark.parametrize(
    "audio",
    [np.zeros(HOPS * HOP_SAMPLES, dtype=np.float32), SQUARE, np.asarray(np.arange(HOPS * HOP_SAMPLES) == 5_000, dtype=np.float32)],
    ids=["silence", "clipped", "click"],
)
def test_a_suppressor_stays_finite_and_within_bounds(suppressor: Suppressor, audio: Float32Array) -> None:
    out = suppressor.process([Passage(suppressor.open(), audio.copy(), np.ones(HOPS, dtype=np.float32))])[0]
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 2.0
    if not audio.any():
        assert np.abs(out).max() < 1e-3


def test_threads_do_not_disturb_each_others_sessions(suppressor: Suppressor) -> None:
    def run(session: int) -> bytes:
        audio = _audio(session, HOPS * HOP_SAMPLES)
        return suppressor.process([Passage(suppressor.open(), audio, np.ones(HOPS, dtype=np.float32))])[0].tobytes()

    alone = [run(session) for session in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == alone


def test_noise_over_real_speech_becomes_less_and_speech_stays(suppressor: Suppressor, eval_data: Path) -> None:
    if suppressor.engine.name not in LEAST_GAIN_DB:
        pytest.skip("its weights are made up: it cleans nothing")
    gains = []
    for pair in json.loads((eval_data / "noise" / "pairs.json").read_text())[:3]:
        noisy, clean = (read_speech(eval_data / pair[kind])[: 3 * 16_000] for kind in ("noisy", "clean"))
        size = min(noisy.size, clean.size) // HOP_SAMPLES * HOP_SAMPLES
        strengths = np.ones(size // HOP_SAMPLES, dtype=np.float32)
        out = suppressor.process([Passage(suppressor.open(), noisy[:size], strengths)])[0]
        gains.append(si_sdr_db(clean[: out.size], out) - si_sdr_db(clean[: out.size], noisy[: out.size]))
    assert np.mean(gains) > LEAST_GAIN_DB[suppressor.engine.name] - 1e-3, gains


@pytest.mark.parametrize("name", ["deepfilternet", *sorted(FILES)])
def test_an_engine_that_is_dropped_takes_its_weights_with_it(name: str, request: pytest.FixtureRequest) -> None:
    engine = load_suppressor(name, request)
    graphs = [weakref.ref(value) for value in vars(engine).values() if isinstance(value, OnnxModel)]
    assert graphs
    del engine
    gc.collect()
    assert [graph() for graph in graphs] == [None] * len(graphs)


@pytest.mark.parametrize(("name", "file"), [("dtln", "model_1.onnx"), ("gtcrn", "weights.onnx")])
def test_other_weights_are_refused_with_what_to_do(name: str, file: str, tmp_path: Path, model_files: Path) -> None:
    (tmp_path / file).write_bytes(b"not a model")
    weights = tmp_path if name == "dtln" else tmp_path / file
    with pytest.raises(EngineUnusable, match=f"cannot be read.*voxrelay models pull {name}"):
        load("denoise", ENGINES, name, weights=weights)
    (tmp_path / file).write_bytes((model_files / "dnsmos" / "model_v8.onnx").read_bytes())
    with pytest.raises(EngineUnusable, match=f"another model.*voxrelay models pull {name}"):
        load("denoise", ENGINES, name, weights=weights)


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
