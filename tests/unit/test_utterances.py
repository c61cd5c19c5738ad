"""From the denoised stream back to utterances: every sample once, whatever the chunks, and no more memory than what is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le
from voxrelay.events import AudioDenoised, Payload, UtteranceEnded, UtteranceStarted
from voxrelay.utterances import LOOK_BACK_SAMPLES, UtteranceAudio, UtterancePiece, pack_audio, unpack_audio

SECONDS = 60


def a_call(seed: int, chunk_s: tuple[float, float] = (0.01, 0.7)) -> tuple[Float32Array, list[Payload], dict[str, tuple[int, int]]]:
    """Noise, what denoise says of it, and where its utterances lie. They are announced up to a second after their begin, their ends after a pause."""
    chance = random.Random(seed)
    pcm = chance.randbytes(2 * SAMPLE_RATE_HZ * SECONDS)
    payloads: list[Payload] = []
    utterances: dict[str, tuple[int, int]] = {}
    at, opened = 0, -1
    while at < len(pcm) // 2:
        size = min(int(chance.uniform(*chunk_s) * SAMPLE_RATE_HZ), len(pcm) // 2 - at)
        payloads.append(AudioDenoised(at, pcm[2 * at : 2 * (at + size)], "", 0.5))
        at += size
        name = f"u{len(utterances) + 1}"
        if opened < 0 and chance.random() < 0.2:
            opened = max(0, at - chance.randrange(SAMPLE_RATE_HZ), *(end for _, end in utterances.values()))
            payloads.append(UtteranceStarted(name, opened))
        elif opened >= 0 and chance.random() < 0.1:
            end = max(opened, at - chance.randrange(SAMPLE_RATE_HZ // 2))
            payloads.append(UtteranceEnded(name, opened, end, "pause"))
            utterances[name], opened = (opened, end), -1
    return float32_from_pcm_s16le(pcm), payloads, utterances


def pieces_of(audio: UtteranceAudio, payloads: list[Payload]) -> Iterator[UtterancePiece]:
    for payload in payloads:
        yield from audio.push(payload)


def joined(pieces: list[UtterancePiece]) -> Float32Array:
    samples = np.concatenate([piece.samples for piece in pieces])
    return samples[: samples.size - pieces[-1].surplus_samples]


@pytest.mark.parametrize("seed", range(20))
def test_the_pieces_of_an_utterance_are_its_samples_whatever_the_chunks(seed: int) -> None:
    whole, payloads, utterances = a_call(seed)
    pieces = list(pieces_of(UtteranceAudio(), payloads))
    assert len(utterances) > 2
    for name, (start, end) in utterances.items():
        of_it = [piece for piece in pieces if piece.utterance_id == name]
        assert [piece.ended is not None for piece in of_it] == [False] * (len(of_it) - 1) + [True]
        positions = [piece.start_sample for piece in of_it]
        assert positions == [start, *(before.start_sample + before.samples.size for before in of_it[:-1])]
        np.testing.assert_array_equal(joined(of_it), whole[start:end])


@pytest.mark.parametrize("seed", range(20, 30))
def test_a_snapshot_between_utterances_goes_on_as_if_nothing_had_been(seed: int) -> None:
    whole, payloads, utterances = a_call(seed)
    audio, pieces = UtteranceAudio(), []
    for payload in payloads:
        pieces += audio.push(payload)
        if audio.is_between:
            audio = unpack_audio(pack_audio(audio))
    for name, (start, end) in utterances.items():
        np.testing.assert_array_equal(joined([piece for piece in pieces if piece.utterance_id == name]), whole[start:end])


def test_outside_an_utterance_two_seconds_are_kept() -> None:
    audio = UtteranceAudio()
    whole, payloads, _ = a_call(3)
    for payload in payloads:
        if isinstance(payload, AudioDenoised):
            assert not list(audio.push(payload))
            start, tail = audio.tail
            assert tail.size == min(LOOK_BACK_SAMPLES, audio.position)
            np.testing.assert_array_equal(tail, whole[start : start + tail.size])


def test_who_keeps_the_pieces_keeps_no_more_than_their_samples() -> None:
    """A piece that were a part of the two seconds would hold all of them: twenty times its own size for each chunk of 100 ms."""
    whole, payloads, _ = a_call(4, (0.1, 0.1))
    payloads = [UtteranceStarted("u1", 0), *(payload for payload in payloads if isinstance(payload, AudioDenoised))]
    kept = {}
    for piece in pieces_of(UtteranceAudio(), payloads):
        array = piece.samples
        while isinstance(array.base, np.ndarray):
            array = array.base
        kept[id(array)] = array
    assert sum(array.nbytes for array in kept.values()) <= whole.nbytes * 1.01
