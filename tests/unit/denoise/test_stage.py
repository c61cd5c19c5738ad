"""The stage with a scripted detector and the real suppressor: order, exactness, and what bad input gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.denoise.stage import DenoiseStage
from tests.unit.denoise.speechlike import bursts, scripted_front_end
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.errors import Poison
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
    Event,
    FinalizeRequested,
    Payload,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
)

FRONT_END = scripted_front_end()
TALK = [(0.7, 1.1), (0.9, 0.6), (0.2, 1.4), (1.0, 0.05), (0.8, 0.0)]


def _chunks(samples: Float32Array, config: SessionConfig, milliseconds: int | None = 100, seed: int = 0) -> list[Payload]:
    """The samples on every channel, in chunks of one length or (None) of random ones up to a second."""
    pcm = pcm_s16le_from_float32(np.repeat(samples, config.channels))
    random, chunks, at, frame = np.random.default_rng(seed), [], 0, 2 * config.channels
    while at * frame < len(pcm):
        count = config.sample_rate_hz * (milliseconds or int(random.choice((1, 5, 20, 100, 330, 1_000)))) // 1_000
        chunks.append(AudioReceived(at, pcm[at * frame : (at + count) * frame]))
        at += count
    return list(chunks)


def _session(config: SessionConfig, seed: int = 1, milliseconds: int | None = 100) -> list[Payload]:
    samples = bursts(TALK, seed=seed, noise_dbfs=-35.0 if seed % 2 else -60.0, sample_rate_hz=config.sample_rate_hz)
    chunks = _chunks(samples, config, milliseconds, seed)
    middle = len(chunks) // 3
    chunks[middle:middle] = [FinalizeRequested(1)]
    chunks[2 * middle : 2 * middle] = [SessionConfigured(replace(config, pause_ms=300, noise_suppression=0.4))]
    return [SessionOpened(config), *chunks, SessionEnded()]


def _run(payloads: list[Payload], stage: DenoiseStage | None = None) -> list[Payload]:
    stage = stage or DenoiseStage(FRONT_END)
    return [event.payload for payload in payloads for event in stage.process([Event("s", payload)])]


def _audio(outputs: list[Payload]) -> bytes:
    return b"".join(payload.pcm_s16le for payload in outputs if isinstance(payload, AudioDenoised))


SESSIONS = {
    "clean": _session(SessionConfig(), seed=2),
    "noisy": _session(SessionConfig(), seed=3, milliseconds=None),
    "telephone": _session(SessionConfig(sample_rate_hz=8_000), seed=4, milliseconds=20),
    "music": _session(SessionConfig(sample_rate_hz=44_100, channels=2, pause_ms=250), seed=5, milliseconds=None),
    "ungated": _session(SessionConfig(sample_rate_hz=48_000, vad_enabled=False, noise_suppression=1.0), seed=6),
    "unsuppressed": _session(SessionConfig(stages=("transcribe",)), seed=7, milliseconds=333),
}


@pytest.fixture(scope="module")
def chunk_by_chunk() -> dict[str, list[Payload]]:
    return {name: _run(payloads) for name, payloads in SESSIONS.items()}


def test_all_at_once_gives_the_same(chunk_by_chunk: dict[str, list[Payload]]) -> None:
    outputs: dict[str, list[Payload]] = {name: [] for name in SESSIONS}
    for event in DenoiseStage(FRONT_END).process([Event(name, payload) for name, payloads in SESSIONS.items() for payload in payloads]):
        outputs[event.session_id].append(event.payload)
    assert outputs == chunk_by_chunk


@pytest.mark.parametrize("seed", range(6))
def test_random_batches_with_restarts_give_the_same(seed: int, chunk_by_chunk: dict[str, list[Payload]]) -> None:
    random = np.random.default_rng(seed)
    waiting = {name: list(payloads) for name, payloads in SESSIONS.items()}
    outputs: dict[str, list[Payload]] = {name: [] for name in SESSIONS}
    stage = DenoiseStage(FRONT_END)
    largest = 0
    while any(waiting.values()):
        batch: list[Event] = []
        for name in random.permutation(sorted(waiting)):
            count = int(random.integers(0, 9))
            batch += [Event(str(name), payload) for payload in waiting[str(name)][:count]]
            del waiting[str(name)][:count]
        for event in stage.process(batch):
            outputs[event.session_id].append(event.payload)
        if random.random() < 0.4:
            states = {name: state for name in SESSIONS if (state := stage.snapshot(name)) is not None}
            largest = max([largest, *(len(state) for state in states.values())])
            stage = DenoiseStage(scripted_front_end())
            for name, state in states.items():
                stage.restore(name, state)
    assert outputs == chunk_by_chunk
    assert 0 < largest < 60_000


def test_restarts_in_mid_utterance_give_the_same(chunk_by_chunk: dict[str, list[Payload]]) -> None:
    stage, outputs = DenoiseStage(FRONT_END), []
    for payload in SESSIONS["noisy"]:
        outputs += _run([payload], stage)
        state = stage.snapshot("s")
        if state is not None:
            stage = DenoiseStage(FRONT_END)
            stage.restore("s", state)
    assert outputs == chunk_by_chunk["noisy"]


def test_utterances_and_audio_do_not_depend_on_the_length_of_chunks() -> None:
    samples = bursts(TALK, noise_dbfs=-40.0)
    config = SessionConfig()
    runs = [_run([SessionOpened(config), *_chunks(samples, config, length), SessionEnded()]) for length in (20, 100, 1_000, None)]
    assert len({_audio(run) for run in runs}) == 1
    boundaries = [[payload for payload in run if isinstance(payload, UtteranceStarted | UtteranceEnded)] for run in runs]
    assert boundaries[0]
    assert all(found == boundaries[0] for found in boundaries)


@pytest.mark.parametrize("name", SESSIONS)
def test_order_and_times(name: str, chunk_by_chunk: dict[str, list[Payload]]) -> None:
    """What the contract says of audio.denoised, read as a stage behind it would."""
    outputs = chunk_by_chunk[name]
    assert isinstance(outputs[0], SessionOpened)
    assert isinstance(outputs[-2], SessionEnded)
    assert isinstance(outputs[-1], StageFinished)
    position, open_utterance, ended_ids = 0, None, []
    for payload in outputs:
        if isinstance(payload, AudioDenoised):
            assert payload.start_sample == position
            position += len(payload.pcm_s16le) // 2
            assert payload.pcm_s16le
        elif isinstance(payload, UtteranceStarted):
            assert open_utterance is None
            assert position - SAMPLE_RATE_HZ <= payload.start_sample < position
            open_utterance = payload.utterance_id
        elif isinstance(payload, UtteranceEnded):
            assert payload.utterance_id == open_utterance
            assert payload.end_sample <= position
            open_utterance = None
            ended_ids.append(payload.utterance_id)
    assert open_utterance is None
    assert ended_ids == [f"u{number}" for number in range(1, len(ended_ids) + 1)]
    assert ended_ids
    opened = outputs[0].config
    frames = sum(len(p.pcm_s16le) // 2 // opened.channels for p in SESSIONS[name] if isinstance(p, AudioReceived))
    assert position == -(-frames * SAMPLE_RATE_HZ // opened.sample_rate_hz)
    assert outputs[-1] == StageFinished("denoise", len(ended_ids), round(frames / opened.sample_rate_hz, 6))
    assert outputs[-2].audio_seconds == outputs[-1].audio_seconds


def test_the_utterance_named_on_audio_is_the_one_open_after_it(chunk_by_chunk: dict[str, list[Payload]]) -> None:
    outputs = chunk_by_chunk["clean"]
    open_id, claimed = "", ""
    for payload in outputs:
        if isinstance(payload, AudioDenoised):
            assert open_id == claimed
            claimed = payload.utterance_id
        elif isinstance(payload, UtteranceStarted):
            open_id = payload.utterance_id
        elif isinstance(payload, UtteranceEnded):
            open_id = ""
            if payload.reason == "finalize":
                claimed = ""


def test_a_session_without_denoise_and_a_clean_one_are_not_touched() -> None:
    for config, noise_dbfs in (
        (SessionConfig(stages=("transcribe",)), -30.0),
        (SessionConfig(noise_suppression=0.0), -30.0),
        (SessionConfig(), -75.0),
    ):
        samples = bursts(TALK, noise_dbfs=noise_dbfs)
        outputs = _run([SessionOpened(config), *_chunks(samples, config), SessionEnded()])
        assert _audio(outputs) == pcm_s16le_from_float32(samples)


def test_noisy_audio_is_cleaned_by_itself() -> None:
    config, samples = SessionConfig(), bursts(TALK, noise_dbfs=-33.0)
    out = np.frombuffer(_audio(_run([SessionOpened(config), *_chunks(samples, config), SessionEnded()])), dtype="<i2") / 32_768
    pause = slice(int(5.95 * SAMPLE_RATE_HZ), int(6.6 * SAMPLE_RATE_HZ))
    assert np.mean(out[pause] ** 2) < 0.2 * np.mean(samples[pause] ** 2)


def test_finalize_ends_the_utterance_before_the_request_goes_on() -> None:
    config = SessionConfig()
    chunks = _chunks(bursts([(0.5, 2.0)]), config)
    outputs = _run([SessionOpened(config), *chunks[:15], FinalizeRequested(1), *chunks[15:], SessionEnded()])
    at = next(number for number, payload in enumerate(outputs) if isinstance(payload, FinalizeRequested))
    ended = outputs[at - 1]
    assert isinstance(ended, UtteranceEnded)
    assert ended.reason == "finalize"
    assert 0 < 15 * 1_600 - ended.end_sample <= 384 + 128  # all that has been passed on
    following = next(payload for payload in outputs[at:] if isinstance(payload, UtteranceStarted))
    assert following.start_sample == ended.end_sample


def test_voice_activity_can_be_turned_off_and_on_in_mid_stream() -> None:
    config = SessionConfig()
    chunks = _chunks(bursts([(4.0, 0.0)]), config)
    off, on = SessionConfigured(replace(config, vad_enabled=False)), SessionConfigured(config)
    outputs = _run([SessionOpened(config), *chunks[:10], off, *chunks[10:20], on, *chunks[20:], SessionEnded()])
    (ended,) = [payload for payload in outputs if isinstance(payload, UtteranceEnded)]
    assert 10 * 1_600 - 1_024 <= ended.start_sample <= 10 * 1_600
    assert 20 * 1_600 - 1_024 <= ended.end_sample <= 20 * 1_600 + 8_000


def test_silence_says_nothing() -> None:
    config = SessionConfig()
    outputs = _run([SessionOpened(config), *_chunks(np.zeros(48_000, dtype=np.float32), config), SessionEnded()])
    assert not [payload for payload in outputs if isinstance(payload, UtteranceStarted | UtteranceEnded)]
    assert outputs[-1] == StageFinished("denoise", 0, 3.0)


def test_an_empty_session_ends_properly() -> None:
    assert [type(payload) for payload in _run([SessionOpened(SessionConfig()), SessionEnded()])] == [SessionOpened, SessionEnded, StageFinished]


def test_a_hole_is_filled_with_silence_so_that_times_stay_right() -> None:
    config = SessionConfig()
    samples = bursts([(0.5, 1.0), (1.0, 1.0), (1.0, 0.0)], noise_dbfs=-75.0)
    chunks = _chunks(samples, config)
    outputs = _run([SessionOpened(config), *chunks[:3], *chunks[5:], SessionEnded()])
    samples[3 * 1_600 : 5 * 1_600] = 0.0
    assert _audio(outputs) == pcm_s16le_from_float32(samples)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (AudioReceived(0, bytes(7)), "whole frames"),
        (AudioReceived(0, bytes(6)), "whole frames"),  # a frame and a half of two channels
        (AudioReceived(16_000 * 31, bytes(8)), "must begin where"),
        (SessionOpened(SessionConfig(sample_rate_hz=96_000)), "8,000 to 48,000"),
    ],
)
def test_what_can_never_be_processed_is_poison_and_named(payload: Payload, reason: str) -> None:
    stage = DenoiseStage(FRONT_END)
    list(stage.process([Event("s", SessionOpened(SessionConfig(channels=2)))]))
    with pytest.raises(Poison, match=reason) as caught:
        list(stage.process([Event("s", AudioReceived(0, b"")), Event("s", payload, id="s/gateway/9")]))
    assert caught.value.event_id == "s/gateway/9"


def test_a_chunk_again_is_poison() -> None:
    stage = DenoiseStage(FRONT_END)
    with pytest.raises(Poison, match="must begin where"):
        list(stage.process([Event("s", SessionOpened(SessionConfig())), *[Event("s", AudioReceived(0, bytes(320)))] * 2]))


def test_records_of_a_session_that_is_not_open_are_ignored() -> None:
    stage = DenoiseStage(FRONT_END)
    late = [AudioReceived(0, bytes(3_200)), FinalizeRequested(1), SessionConfigured(SessionConfig()), SessionEnded()]
    assert _run(late, stage) == []
    assert stage.snapshot("s") is None
    _run([SessionOpened(SessionConfig())], stage)
    stage.forget("s")
    assert _run(late, stage) == []
