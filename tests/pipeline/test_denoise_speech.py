"""The front end on real speech and real noise, with the real engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from services.denoise.session import FrontEnd
from services.denoise.stage import DenoiseStage
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.events import AudioDenoised, AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened, UtteranceEnded


def _read(path: Path, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """The clip as mono pcm_s16le."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    with av.open(str(path)) as container:
        frames = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    frames += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(frames).astype("<i2").tobytes()


def _session(pcm: bytes, config: SessionConfig | None = None) -> list[Payload]:
    config = config or SessionConfig()
    step = config.sample_rate_hz // 10 * 2
    chunks = [AudioReceived(at // 2, pcm[at : at + step]) for at in range(0, len(pcm), step)]
    return [SessionOpened(config), *chunks, SessionEnded()]


def _run(front_end: FrontEnd, payloads: list[Payload]) -> list[Payload]:
    return [event.payload for event in DenoiseStage(front_end).process([Event("s", payload) for payload in payloads])]


def _audio(outputs: list[Payload]) -> Float32Array:
    pcm = b"".join(payload.pcm_s16le for payload in outputs if isinstance(payload, AudioDenoised))
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32_768.0)


def _utterances(outputs: list[Payload]) -> list[UtteranceEnded]:
    return [payload for payload in outputs if isinstance(payload, UtteranceEnded)]


def _si_sdr_db(estimate: Float32Array, reference: Float32Array) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., ICASSP 2019)."""
    count = min(estimate.size, reference.size)
    estimate, reference = estimate[:count] - estimate[:count].mean(), reference[:count] - reference[:count].mean()
    wanted = reference * (np.dot(estimate, reference) / np.dot(reference, reference))
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((estimate - wanted) ** 2)))


@pytest.fixture(scope="module")
def pairs(eval_data: Path) -> list[dict[str, Any]]:
    return json.loads((eval_data / "noise" / "pairs.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize(("strength", "least_gain_db"), [(1.0, 2.0), (-1.0, 1.0)])
def test_noisy_speech_gains(eval_data: Path, pairs: list[dict[str, Any]], real_front_end: FrontEnd, strength: float, least_gain_db: float) -> None:
    gains = []
    for pair in pairs[::2]:
        noisy, clean = _read(eval_data / pair["noisy"]), np.frombuffer(_read(eval_data / pair["clean"]), dtype="<i2").astype(np.float32)
        out = _audio(_run(real_front_end, _session(noisy, SessionConfig(noise_suppression=strength))))
        gains.append(_si_sdr_db(out, clean) - _si_sdr_db(np.frombuffer(noisy, dtype="<i2").astype(np.float32), clean))
    assert np.mean(gains) > least_gain_db, gains


def test_clean_speech_is_nearly_untouched(eval_data: Path, real_front_end: FrontEnd) -> None:
    for path in sorted((eval_data / "diarization" / "simulated").glob("*.flac"))[:1]:
        pcm = _read(path)[: 40 * 2 * SAMPLE_RATE_HZ]
        out = _audio(_run(real_front_end, _session(pcm)))
        assert _si_sdr_db(out, np.frombuffer(pcm, dtype="<i2").astype(np.float32)) > 30


def _turns(rttm: Path) -> list[tuple[float, float]]:
    fields = [line.split() for line in rttm.read_text().splitlines() if line.startswith("SPEAKER")]
    return [(float(field[3]), float(field[3]) + float(field[4])) for field in fields]


@pytest.mark.parametrize("name", ["sim2_fm", "sim3", "sim3_overlap"])
def test_utterances_cover_the_turns_and_little_else(eval_data: Path, real_front_end: FrontEnd, name: str) -> None:
    folder = eval_data / "diarization" / "simulated"
    pcm = _read(folder / f"{name}.flac")
    turn, said = np.zeros(len(pcm) // 2, dtype=bool), np.zeros(len(pcm) // 2, dtype=bool)
    for start_s, end_s in _turns(folder / f"{name}.rttm"):
        turn[int(start_s * SAMPLE_RATE_HZ) : int(end_s * SAMPLE_RATE_HZ)] = True
    for utterance in _utterances(_run(real_front_end, _session(pcm))):
        assert utterance.end_sample - utterance.start_sample <= 30 * SAMPLE_RATE_HZ
        said[utterance.start_sample : utterance.end_sample] = True
    missed = np.sum(turn & ~said) / np.sum(turn)
    beyond = np.sum(said & ~turn) / np.sum(said)
    assert missed < 0.06, missed
    assert beyond < 0.2, beyond


def test_noise_alone_is_no_utterance(eval_data: Path, real_front_end: FrontEnd) -> None:
    clips = {path.name: _read(path) for path in sorted((eval_data / "noise" / "clips").glob("*.wav")) if "speech" not in path.name}
    random = np.random.default_rng(1)
    for level_dbfs in (-45, -20):
        clips[f"white {level_dbfs}"] = pcm_s16le_from_float32(
            (random.standard_normal(20 * SAMPLE_RATE_HZ) * 10 ** (level_dbfs / 20)).astype(np.float32)
        )
    found = {name: len(_utterances(_run(real_front_end, _session(pcm)))) for name, pcm in clips.items()}
    assert len(found) > 2
    assert set(found.values()) == {0}, found


def test_telephone_and_studio_rates_find_the_same_speech(eval_data: Path, real_front_end: FrontEnd) -> None:
    path = sorted((eval_data / "asr" / "librispeech-test-other").glob("*.flac"))[0]
    found = []
    for rate_hz in (8_000, 16_000, 44_100, 48_000):
        utterances = _utterances(_run(real_front_end, _session(_read(path, rate_hz), SessionConfig(sample_rate_hz=rate_hz))))
        found.append((utterances[0].start_sample / SAMPLE_RATE_HZ, utterances[-1].end_sample / SAMPLE_RATE_HZ))
    assert all(abs(start - found[1][0]) < 0.2 and abs(end - found[1][1]) < 0.2 for start, end in found), found


def test_batches_and_restarts_change_nothing_on_real_speech(eval_data: Path, pairs: list[dict[str, Any]], real_front_end: FrontEnd) -> None:
    sessions = {f"s{n}": _session(_read(eval_data / pair["noisy"])) for n, pair in enumerate(pairs[:4])}
    wanted = {}
    for name, payloads in sessions.items():
        stage = DenoiseStage(real_front_end)
        wanted[name] = [event.payload for payload in payloads for event in stage.process([Event(name, payload)])]
    random, stage, waiting = np.random.default_rng(3), DenoiseStage(real_front_end), {name: list(payloads) for name, payloads in sessions.items()}
    outputs: dict[str, list[Payload]] = {name: [] for name in sessions}
    while any(waiting.values()):
        batch = []
        for name, queue in waiting.items():
            count = int(random.integers(0, 12))
            batch += [Event(name, payload) for payload in queue[:count]]
            del queue[:count]
        for event in stage.process(batch):
            outputs[event.session_id].append(event.payload)
        if random.random() < 0.5:
            states = {name: state for name in sessions if (state := stage.snapshot(name)) is not None}
            stage = DenoiseStage(real_front_end)
            for name, state in states.items():
                assert len(state) < 60_000
                stage.restore(name, state)
    assert outputs == wanted
    assert all(_utterances(payloads) for payloads in wanted.values())
