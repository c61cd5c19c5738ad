"""Optimally modified log-spectral amplitude noise suppression in NumPy, streaming, for many sessions at once.

Gain: Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude estimator", IEEE TASSP 33(2), 1985,
with the decision-directed a-priori SNR; weighted by speech presence as in I. Cohen, B. Berdugo, "Speech enhancement for
non-stationary noise environments", Signal Processing 81(11), 2001. Noise: recursive averaging steered by minima (MCRA), after the same paper and
I. Cohen, "Noise spectrum estimation in adverse environments: improved minima controlled recursive averaging", IEEE TSAP 11(5), 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.denoise.engine import HOP_SAMPLES, NO_SAMPLES, Passage, State
from voxrelay.audio import Float32Array
from voxrelay.events import Engine

WINDOW_SAMPLES = 512
OVERLAP_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES
BINS = WINDOW_SAMPLES // 2 + 1
FLOOR_DB = -20.0  # the strongest suppression
START_HOPS = 8  # what a session begins with is taken for noise so long
MINIMUM_HOPS = 100  # minima are searched over one to two times 0.8 s
LEAST_POWER = np.float32(1e-9)  # a bin's, far below one 16-bit step: keeps digital silence finite

# Rows of a session's spectral state, shape (ROWS, BINS).
NOISE, SMOOTHED, MINIMUM, NEXT_MINIMUM, PRESENCE, SPEECH_POWER = range(6)
ROWS = 6

_WINDOW: Float32Array = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype(np.float32)
_WEIGHT = np.float32(0.5)  # four squared windows overlap to 2
_LOG_FLOOR = np.float32(FLOOR_DB / 20.0 * np.log(10.0))


class OmlsaSuppressor:
    """32 ms windows every 8 ms, 24 ms delay. All arithmetic is by element or by row, so a session's bits do not depend on its company."""

    engine = Engine("omlsa", "1")
    delay_samples = OVERLAP_SAMPLES

    def open(self) -> State:
        return {
            "spectral": np.zeros((ROWS, BINS), dtype=np.float32),
            "history": np.zeros(OVERLAP_SAMPLES, dtype=np.float32),  # the input before the next hop
            "overlap": np.zeros(OVERLAP_SAMPLES, dtype=np.float32),  # output that later windows still add to
            "hops": np.zeros(1, dtype=np.int64),
        }

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        outputs: list[Float32Array] = [NO_SAMPLES] * len(work)
        order = [index for index in range(len(work)) if work[index].samples.size]
        order.sort(key=lambda index: -work[index].samples.size)  # longest first: those still due are the first rows
        if not order:
            return outputs
        passages = [work[index] for index in order]
        counts = [passage.samples.size // HOP_SAMPLES for passage in passages]
        spectra = [_spectra(passage) for passage in passages]
        gains = _gains(passages, counts, spectra)
        for index, passage, count, spectrum, gain in zip(order, passages, counts, spectra, gains, strict=True):
            outputs[index] = _overlap_add(passage.state, count, spectrum * gain)
        return outputs

    def check(self) -> str | None:
        return None


def _spectra(passage: Passage) -> NDArray[np.complex64]:
    """Shape (hops, BINS); moves the input history on."""
    heard = np.concatenate((passage.state["history"], passage.samples))
    passage.state["history"] = heard[-OVERLAP_SAMPLES:].copy()
    frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW_SAMPLES)[::HOP_SAMPLES] * _WINDOW
    spectra: NDArray[np.complex64] = np.fft.rfft(frames, axis=1).astype(np.complex64, copy=False)
    return spectra


def _overlap_add(state: State, count: int, spectra: NDArray[np.complex64]) -> Float32Array:
    frames = np.fft.irfft(spectra, WINDOW_SAMPLES, axis=1).astype(np.float32, copy=False) * (_WINDOW * _WEIGHT)
    total = np.zeros(OVERLAP_SAMPLES + count * HOP_SAMPLES, dtype=np.float32)
    total[:OVERLAP_SAMPLES] = state["overlap"]
    for number in range(count):  # one window after the other: the order of additions never depends on how hops came in
        total[number * HOP_SAMPLES : number * HOP_SAMPLES + WINDOW_SAMPLES] += frames[number]
    state["overlap"] = total[count * HOP_SAMPLES :].copy()
    before_start = max(0, OVERLAP_SAMPLES // HOP_SAMPLES - int(state["hops"][0]))
    state["hops"][0] += count
    return total[before_start * HOP_SAMPLES : count * HOP_SAMPLES]


def _gains(passages: Sequence[Passage], counts: Sequence[int], spectra: Sequence[NDArray[np.complex64]]) -> list[Float32Array]:
    """For each passage the gains, shape (hops, BINS); moves the spectral states on, all sessions at each hop in one pass."""
    powers = [(s.real * s.real + s.imag * s.imag) + LEAST_POWER for s in spectra]
    state = np.ascontiguousarray(np.stack([passage.state["spectral"] for passage in passages], axis=1))  # (ROWS, sessions, BINS)
    hops = np.array([int(passage.state["hops"][0]) for passage in passages])
    gains = [np.empty_like(power) for power in powers]
    rows = len(passages)
    for number in range(counts[0]):
        while counts[rows - 1] <= number:
            rows -= 1
        power = np.stack([powers[row][number] for row in range(rows)])
        log_gain = _advance(state[:, :rows], power, hops[:rows] + number)
        strength = np.array([passages[row].strengths[number] for row in range(rows)], dtype=np.float32)[:, None]
        gain = np.exp(log_gain * strength)
        for row in range(rows):
            gains[row][number] = gain[row]
    for row, passage in enumerate(passages):
        passage.state["spectral"] = state[:, row].copy()
    return gains


def _advance(state: NDArray[np.float32], power: Float32Array, hop: NDArray[np.int64]) -> Float32Array:
    """One hop of all sessions: state (ROWS, sessions, BINS) in place, power (sessions, BINS); the natural logarithm of the full gain."""
    is_start = (hop < START_HOPS)[:, None]
    if is_start.any():
        _start(state, power, hop[:, None], is_start)
    noise = state[NOISE]
    smoothed, is_likely = _track_minima(state, power, hop)
    posterior = np.minimum(power / noise, np.float32(1000.0))
    prior = np.maximum(
        np.float32(0.92) * (state[SPEECH_POWER] / noise) + np.float32(0.08) * np.maximum(posterior - np.float32(1.0), np.float32(0.0)),
        np.float32(10 ** (-25 / 10)),
    )
    wiener = prior / (np.float32(1.0) + prior)
    v = posterior * wiener
    log_gain = np.minimum(np.log(wiener) + np.float32(0.5) * np.minimum(exponential_integral(v), np.float32(20.0)), np.float32(0.0))
    odds_of_absence = np.where(is_likely, np.float32(0.3 / 0.7), np.float32(0.8 / 0.2))
    presence = np.float32(1.0) / (np.float32(1.0) + odds_of_absence * (np.float32(1.0) + prior) * np.exp(-np.minimum(v, np.float32(50.0))))
    held = np.float32(0.95) + np.float32(0.05) * np.maximum(state[PRESENCE], np.float32(0.9) * presence)
    state[SPEECH_POWER] = np.exp(np.float32(2.0) * log_gain) * np.minimum(power, np.float32(1000.0) * noise)
    state[NOISE] = held * noise + (np.float32(1.0) - held) * np.float32(1.1) * power
    state[SMOOTHED] = smoothed
    weighted: Float32Array = log_gain * presence + _LOG_FLOOR * (np.float32(1.0) - presence)
    return np.maximum(weighted, _LOG_FLOOR)


def _start(state: NDArray[np.float32], power: Float32Array, hop: NDArray[np.int64], is_start: NDArray[np.bool_]) -> None:
    """The first hops' mean is the first noise estimate; the very first also begins the smoothing and the minima."""
    share = (np.float32(1.0) / (hop + 1).astype(np.float32)).astype(np.float32)
    state[NOISE] = np.where(is_start, state[NOISE] + share * (power - state[NOISE]), state[NOISE])
    for row in (SMOOTHED, MINIMUM, NEXT_MINIMUM, SPEECH_POWER):
        state[row] = np.where(hop == 0, power, state[row])


def _track_minima(state: NDArray[np.float32], power: Float32Array, hop: NDArray[np.int64]) -> tuple[Float32Array, NDArray[np.bool_]]:
    """The smoothed power and where it stands so far above its minimum that speech is likely."""
    lower = np.concatenate((power[:, :1], power[:, :-1]), axis=1)
    upper = np.concatenate((power[:, 1:], power[:, -1:]), axis=1)
    smoothed = np.float32(0.8) * state[SMOOTHED] + np.float32(0.2) * (np.float32(0.25) * (lower + upper) + np.float32(0.5) * power)
    minimum = np.minimum(state[MINIMUM], smoothed)
    following = np.minimum(state[NEXT_MINIMUM], smoothed)
    is_renewed = (hop % MINIMUM_HOPS == MINIMUM_HOPS - 1)[:, None]
    state[MINIMUM] = np.where(is_renewed, following, minimum)
    state[NEXT_MINIMUM] = np.where(is_renewed, smoothed, following)
    is_likely: NDArray[Any] = smoothed > np.float32(1.66 * 2.5) * state[MINIMUM]
    state[PRESENCE] = np.float32(0.2) * state[PRESENCE] + np.float32(0.8) * is_likely
    return smoothed, is_likely


def exponential_integral(x: Float32Array) -> Float32Array:
    """E1(x) for x > 0 (Abramowitz and Stegun 5.1.53 below 1, 5.1.56 above)."""
    x = np.maximum(x, np.float32(1e-8))
    s = np.minimum(x, np.float32(1.0))
    small = np.float32(0.00107857) * s
    for coefficient in (-0.00976004, 0.05519968, -0.24991055, 0.99999193):
        small = (small + np.float32(coefficient)) * s
    small = small - np.float32(0.57721566) - np.log(s)
    b = np.maximum(x, np.float32(1.0))
    above = (((b + np.float32(8.5733287401)) * b + np.float32(18.0590169730)) * b + np.float32(8.6347608925)) * b + np.float32(0.2677737343)
    below = (((b + np.float32(9.5733223454)) * b + np.float32(25.6329561486)) * b + np.float32(21.0996530827)) * b + np.float32(3.9584969228)
    return np.where(x < np.float32(1.0), small, np.exp(-b) / b * above / below)
