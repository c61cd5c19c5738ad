"""What every speaker embedder promises: one suite over all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.diarize.engine import ENGINES, SpeakerEmbedder
from tests.contracts.diarize import tiny_torch
from tests.speech import read_speech
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings


def _ge2e(_folder: Path) -> SpeakerEmbedder:
    registry = ModelRegistry(PlatformSettings().models)
    try:
        weights = registry.path("ge2e")
    except EngineUnusable as error:
        pytest.skip(str(error))
    return load("diarize", ENGINES, "ge2e", weights=weights, model_digest=registry.digest("ge2e"))  # type: ignore[no-any-return]


MAKERS: dict[str, Callable[[Path], SpeakerEmbedder]] = {"ge2e": _ge2e, "pyannote": tiny_torch.wespeaker, "speechbrain": tiny_torch.ecapa}
RANDOM_WEIGHTS = ("pyannote", "speechbrain")


@pytest.fixture(scope="module", params=sorted(ENGINES))
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SpeakerEmbedder:
    return MAKERS[request.param](tmp_path_factory.mktemp("weights"))


def _windows(embedder: SpeakerEmbedder, count: int, seed: int = 0) -> Float32Array:
    """Noise that swells and fades, at all levels, with one silent window and one at full scale."""
    random = np.random.default_rng(seed)
    swell = np.abs(np.sin(np.linspace(0, 20, embedder.window_samples))) ** 2
    levels = 10 ** random.uniform(-3, -0.5, (count, 1))
    windows = (random.standard_normal((count, embedder.window_samples)) * swell * levels).clip(-1, 1).astype(np.float32)
    windows[0] = 0.0
    windows[1 % count] = np.where(random.random(embedder.window_samples) < 0.5, -1.0, 1.0)
    return windows


def test_embeddings_are_unit_vectors_whatever_the_audio(embedder: SpeakerEmbedder) -> None:
    vectors = embedder.embed(_windows(embedder, 5))
    assert vectors.shape == (5, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1.0).max() < 1e-5
    assert embedder.embed(_windows(embedder, 2)[:0]).shape == (0, embedder.dimensions)
    assert 0 < embedder.step_samples <= embedder.window_samples
    assert embedder.engine.name
    assert embedder.engine.model_digest


@pytest.mark.parametrize("count", [2, 3, 4, 5, 17, 70])
def test_a_row_has_the_same_bits_in_any_company(embedder: SpeakerEmbedder, count: int) -> None:
    windows = _windows(embedder, count, seed=count)
    together = embedder.embed(windows)
    order = np.random.default_rng(count).permutation(count)
    assert embedder.embed(windows[order]).tobytes() == together[order].tobytes()
    for row in range(min(count, 5)):
        assert embedder.embed(windows[row : row + 1]).tobytes() == together[row : row + 1].tobytes()


def test_threads_do_not_disturb_each_other(embedder: SpeakerEmbedder) -> None:
    batches = [_windows(embedder, 1 + seed, seed) for seed in range(4)]
    alone = [embedder.embed(batch).tobytes() for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        assert [vectors.tobytes() for vectors in pool.map(embedder.embed, batches)] == alone


def test_voices_lie_closer_to_themselves_than_to_others(embedder: SpeakerEmbedder, eval_data: Path) -> None:
    if embedder.engine.name in RANDOM_WEIGHTS:
        pytest.skip("its weights are random: it tells no voices apart")
    clips = sorted((eval_data / "asr" / "librispeech-test-other").glob("*.flac"))
    means: dict[str, list[Float32Array]] = {}
    for path in clips:
        speaker = path.name.split("-")[0]
        if len(means.setdefault(speaker, [])) < 3:
            samples = read_speech(path)[: 4 * embedder.window_samples]
            windows = samples[: samples.size // embedder.window_samples * embedder.window_samples].reshape(-1, embedder.window_samples)
            means[speaker].append(embedder.embed(windows).mean(axis=0))
    assert len(means) > 3
    unit = {speaker: [mean / np.linalg.norm(mean) for mean in found] for speaker, found in means.items()}
    same = [float(a @ b) for found in unit.values() for x, a in enumerate(found) for b in found[:x]]
    other = [float(a @ b) for one in unit for two in unit if one < two for a in unit[one] for b in unit[two]]
    assert np.mean(same) > np.mean(other) + 0.2
    assert np.mean([one < np.median(other) for one in same]) < 0.05


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "weights.pt"
    wrong.write_bytes(b"not weights")
    with pytest.raises(EngineUnusable, match="voxrelay models pull ge2e"):
        load("diarize", ENGINES, "ge2e", weights=wrong)
