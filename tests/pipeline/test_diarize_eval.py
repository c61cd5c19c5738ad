"""Who speaks when, in real voices, through the real front end and the real engine."""

from __future__ import annotations

from functools import cache, partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from services.diarize.compose import cluster_rules, speaker_embedder
from services.diarize.engine import SpeakerEmbedder
from services.diarize.settings import DiarizeSettings
from services.diarize.stage import DiarizeStage
from tests.speech import read_speech
from voxrelay.audio import pcm_s16le_from_float32
from voxrelay.engines import EngineUnusable
from voxrelay.events import AudioReceived, Event, Payload, SegmentDiarized, SessionConfig, SessionEnded, SessionOpened, StageFinished
from voxrelay.models.slot import EngineSlot
from voxrelay.settings import PlatformSettings

CHUNK_BYTES = 3_200
FRAMES_PER_SECOND = 100
Turns = list[tuple[float, float, str]]


@pytest.fixture(scope="module")
def embedder() -> SpeakerEmbedder:
    try:
        return speaker_embedder(PlatformSettings(), DiarizeSettings())
    except EngineUnusable as error:
        pytest.skip(str(error))


@cache
def _denoised(clip: Path, front: FrontEnd, config: SessionConfig) -> list[Payload]:
    """What diarize reads of the clip."""
    pcm = pcm_s16le_from_float32(read_speech(clip))
    chunks = [AudioReceived(at // 2, pcm[at : at + CHUNK_BYTES]) for at in range(0, len(pcm), CHUNK_BYTES)]
    outputs = DenoiseStage(front).process([Event("s", payload) for payload in (SessionOpened(config), *chunks, SessionEnded())])
    return [event.payload for event in outputs if not isinstance(event.payload, StageFinished)]


def _stage(embedder: SpeakerEmbedder) -> DiarizeStage:
    return DiarizeStage(EngineSlot("diarize", embedder), rules=partial(cluster_rules, DiarizeSettings()))


def _latest(payloads: list[Payload]) -> dict[str, SegmentDiarized]:
    return {payload.utterance_id: payload for payload in payloads if isinstance(payload, SegmentDiarized) and payload.is_final}


def _hypothesis(payloads: list[Payload]) -> Turns:
    return [(one.start_s, one.end_s, one.speaker) for final in _latest(payloads).values() for one in final.segments]


def _reference(rttm: Path) -> Turns:
    fields = [line.split() for line in rttm.read_text().splitlines() if line.startswith("SPEAKER")]
    return [(float(field[3]), float(field[3]) + float(field[4]), field[7]) for field in fields]


def _frames(found: Turns, frames: int) -> NDArray[np.bool_]:
    names = sorted({name for _, _, name in found})
    active = np.zeros((len(names), frames), dtype=bool)
    for start_s, end_s, name in found:
        active[names.index(name), round(start_s * FRAMES_PER_SECOND) : round(end_s * FRAMES_PER_SECOND)] = True
    return active


def _diarization_error_rate(found: Turns, reference: Turns) -> float:
    """Missed, false and confused speech over all speech (NIST): no collar, overlap counted, the best one-to-one naming of speakers."""
    frames = 1 + round(max(end_s for _, end_s, _ in found + reference) * FRAMES_PER_SECOND)
    told, true = _frames(found, frames), _frames(reference, frames)
    both = (told[:, None, :] & true[None, :, :]).sum(axis=2)
    both = both if both.shape[0] <= both.shape[1] else both.T
    right = max(sum(both[row, column] for row, column in enumerate(order)) for order in permutations(range(both.shape[1]), both.shape[0]))
    return float((np.maximum(told.sum(axis=0), true.sum(axis=0)).sum() - right) / true.sum())


def test_the_error_rate_counts_what_it_should() -> None:
    reference = [(0.0, 4.0, "a"), (4.0, 8.0, "b"), (7.0, 8.0, "a")]
    assert _diarization_error_rate([(0.0, 4.0, "S2"), (4.0, 8.0, "S1"), (7.0, 8.0, "S2")], reference) == 0.0
    assert _diarization_error_rate([(0.0, 8.0, "S1")], reference) == pytest.approx(4 / 9)
    assert _diarization_error_rate([(0.0, 4.0, "S2"), (4.0, 9.0, "S1")], reference) == pytest.approx(2 / 9)


@pytest.mark.parametrize(("name", "speakers"), [("sim2_fm", 2), ("sim3", 3)])
@pytest.mark.parametrize("is_told", [False, True])
def test_speakers_are_told_apart(
    eval_data: Path, real_front_end: FrontEnd, embedder: SpeakerEmbedder, name: str, speakers: int, is_told: bool
) -> None:
    folder = eval_data / "diarization" / "simulated"
    config = SessionConfig(num_speakers=speakers if is_told else 0, interim_results=False)
    payloads = _denoised(folder / f"{name}.flac", real_front_end, config)
    found = _hypothesis([event.payload for event in _stage(embedder).process([Event("s", payload) for payload in payloads])])
    assert len({speaker for _, _, speaker in found}) >= 2
    assert not is_told or len({speaker for _, _, speaker in found}) <= speakers
    error_rate = _diarization_error_rate(found, _reference(folder / f"{name}.rttm"))
    assert error_rate < 0.2, error_rate  # 0.09 when this was written


def test_batches_and_restarts_change_nothing_on_real_speech(eval_data: Path, real_front_end: FrontEnd, embedder: SpeakerEmbedder) -> None:
    folder = eval_data / "diarization"
    clips = [folder / "simulated" / "sim3_overlap.flac", folder / "ami-debug" / "dev00.flac", folder / "sample" / "sample.wav"]
    sessions = {clip.stem: _denoised(clip, real_front_end, SessionConfig()) for clip in clips}
    wanted = {}
    for name, payloads in sessions.items():
        stage = _stage(embedder)
        wanted[name] = [event.payload for payload in payloads for event in stage.process([Event(name, payload)]) if event.payload.is_durable]
    random, stage, waiting = np.random.default_rng(3), _stage(embedder), {name: list(payloads) for name, payloads in sessions.items()}
    outputs: dict[str, list[Payload]] = {name: [] for name in sessions}
    restored = 0
    while any(waiting.values()):
        batch = []
        for name, queue in waiting.items():
            count = int(random.integers(0, 12))
            batch += [Event(name, payload) for payload in queue[:count]]
            del queue[:count]
        for event in stage.process(batch):
            if event.payload.is_durable:
                outputs[event.session_id].append(event.payload)
        states = {name: stage.snapshot(name) for name, queue in waiting.items() if queue}
        if random.random() < 0.5 and all(states.values()):
            stage, restored = _stage(embedder), restored + 1
            for name, state in states.items():
                assert state is not None
                assert len(state) < 100_000
                stage.restore(name, state)
    assert restored > 0
    assert outputs == wanted
    assert all(_latest(payloads) for payloads in wanted.values())
