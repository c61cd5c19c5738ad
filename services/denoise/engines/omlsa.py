"""Optimally modified log-spectral amplitude noise suppression in NumPy, streaming, for many sessions at once.

Gain: Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude estimator", IEEE TASSP 33(2), 1985,
with the decision-directed a-priori SNR; weighted by speech presence as in I. Cohen, B. Berdugo, "Speech enhancement for
non-stationary noise environments", Signal Processing 81(11), 2001. Noise: recursive averaging steered by minima (MCRA), after the same paper and
I. Cohen, "Noise spectrum estimation in adverse environments: improved minima controlled recursive averaging", IEEE TSAP 11(5), 2003.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.denoise.engine import HOP_SAMPLES, NO_SAMPLES, Passage, State
from voxrelay.audio import Float32Array
from voxrelay.events import Engine

WINDOW_SAMPLES = 512
BLOCKS = WINDOW_SAMPLES // HOP_SAMPLES
OVERLAP_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES
BINS = WINDOW_SAMPLES // 2 + 1
FLOOR_DB = -20.0  # the strongest suppression
START_HOPS = 8  # what a session begins with is taken for noise so long
MINIMUM_HOPS = 100  # minima are searched over one to two times 0.8 s
LEAST_POWER = np.float32(1e-9)  # a bin's, far below one 16-bit step: keeps digital silence finite

# Rows of a session's spectral state, shape (ROWS, BINS).
NOISE, SMOOTHED, MINIMUM, NEXT_MINIMUM, PRESENCE, SPEECH_POWER = range(6)
ROWS = 6
SESSIONS_AT_ONCE = 32  # what they need lies in a core's own cache

_WINDOW: Float32Array = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype(np.float32).reshape(BLOCKS, -1)
_WINDOW_BACK = _WINDOW * np.float32(0.5)  # four squared windows overlap to 2


def _constant(value: float) -> Float32Array:
    """Shape (): an operation with a number in such an array takes half as long as with the number itself."""
    return np.array(value, dtype=np.float32)


_NOTHING, _HALF, _ONE = _constant(0.0), _constant(0.5), _constant(1.0)
_MOST_POSTERIOR, _LEAST_PRIOR = _constant(1000.0), _constant(10 ** (-25 / 10))
_OLD_SHARE, _NEW_SHARE = _constant(0.92), _constant(0.08)  # in the decision-directed prior
_SMOOTHING, _OWN_SHARE, _BESIDE_SHARE = _constant(0.8), _constant(0.1), _constant(0.05)  # of the power before, of a bin's own, of each beside it
_LIKELY_ABOVE = _constant(1.66 * 2.5)  # its minimum, so many times
_ODDS_UNLIKELY = _constant(0.8 / 0.2)  # of the absence of speech, where it is not likely
_ODDS_CHANGE = _constant(0.3 / 0.7 - 0.8 / 0.2)  # to where it is
_SEEN_SHARE, _LIKELY_SHARE = _constant(0.2), _constant(0.8)  # in the presence that steers the noise
_FRESH, _NOISE_SHARE, _NOISE_BIAS = _constant(0.9), _constant(0.05), _constant(1.1)
_LOG_FLOOR = _constant(FLOOR_DB / 20.0 * np.log(10.0))
_FIT = [_constant(value) for value in (3.99775, 5.85879, 4.84582, 10.43474)]  # for the smallest greatest error


class OmlsaSuppressor:
    """32 ms windows every 8 ms, 24 ms delay. All arithmetic is by element or by row, so a session's bits do not depend on its company."""

    engine = Engine("omlsa", "2")
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
        for first in range(0, len(order), SESSIONS_AT_ONCE):
            chosen = order[first : first + SESSIONS_AT_ONCE]
            for index, cleaned in zip(chosen, _suppress([work[index] for index in chosen]), strict=True):
                outputs[index] = cleaned
        return outputs

    def check(self) -> str | None:
        return None


def _suppress(passages: Sequence[Passage]) -> list[Float32Array]:
    """All hops of all passages, longest passage first, lie one below the other: each passage's from ``starts`` on."""
    counts = np.array([passage.samples.size // HOP_SAMPLES for passage in passages])
    starts = np.cumsum(counts) - counts
    blocks = np.empty((int(counts.sum()), BLOCKS, HOP_SAMPLES), dtype=np.float32)
    for passage, start, count in zip(passages, starts, counts, strict=True):
        _cut(passage, blocks[start : start + count])
    blocks *= _WINDOW
    spectra: NDArray[np.complex64] = np.fft.rfft(blocks.reshape(-1, WINDOW_SAMPLES), axis=1).astype(np.complex64, copy=False)
    spectra *= _gains(passages, counts, starts, spectra.real**2 + spectra.imag**2 + LEAST_POWER)
    blocks = np.fft.irfft(spectra, WINDOW_SAMPLES, axis=1).astype(np.float32, copy=False).reshape(blocks.shape)
    blocks *= _WINDOW_BACK
    return [_overlap_add(passage.state, blocks[start : start + count]) for passage, start, count in zip(passages, starts, counts, strict=True)]


def _cut(passage: Passage, blocks: Float32Array) -> None:
    """The windows of a passage, each of four hops; moves the input history on."""
    heard = np.concatenate((passage.state["history"], passage.samples))
    passage.state["history"] = heard[-OVERLAP_SAMPLES:].copy()
    hops = heard.reshape(-1, HOP_SAMPLES)
    for number in range(BLOCKS):
        blocks[:, number] = hops[number : number + len(blocks)]


def _overlap_add(state: State, blocks: Float32Array) -> Float32Array:
    """Each hop is the sum of four windows' parts, the oldest first: the order of additions never depends on how hops came in."""
    count = len(blocks)
    total = np.zeros((BLOCKS - 1 + count, HOP_SAMPLES), dtype=np.float32)
    total[: BLOCKS - 1] = state["overlap"].reshape(-1, HOP_SAMPLES)
    for number in reversed(range(BLOCKS)):
        total[number : number + count] += blocks[:, number]
    state["overlap"] = total[count:].reshape(-1).copy()
    before_start = max(0, BLOCKS - 1 - int(state["hops"][0]))
    state["hops"][0] += count
    return total[before_start:count].reshape(-1)


def _gains(passages: Sequence[Passage], counts: NDArray[np.int64], starts: NDArray[np.int64], power: Float32Array) -> Float32Array:
    """Of each hop's bins, as ``power``, shape (hops, BINS); moves the spectral states on, all sessions at each hop in one pass.

    Only what follows from the hop before is done hop by hop.
    """
    state = np.stack([passage.state["spectral"] for passage in passages], axis=1)  # (ROWS, sessions, BINS)
    heard = np.array([int(passage.state["hops"][0]) for passage in passages])
    spread, squared, presence = _spread(power), np.empty_like(power), np.empty_like(power)
    rows = len(passages)
    for number in range(int(counts[0])):
        while counts[rows - 1] <= number:
            rows -= 1
        due = starts[:rows] + number
        squared[due], presence[due] = _advance(state[:, :rows], power[due], spread[due], heard[:rows] + number)
    for row, passage in enumerate(passages):
        passage.state["spectral"] = state[:, row].copy()
    log_gain = np.log(squared)
    log_gain *= _HALF
    log_gain -= _LOG_FLOOR
    log_gain *= presence
    log_gain += _LOG_FLOOR
    np.maximum(log_gain, _LOG_FLOOR, out=log_gain)
    log_gain *= np.concatenate([passage.strengths for passage in passages])[:, None]
    np.exp(log_gain, out=log_gain)
    return log_gain


def _spread(power: Float32Array) -> Float32Array:
    """What each bin adds to the smoothed power: a fifth of the mean with its neighbours."""
    lower = np.concatenate((power[..., :1], power[..., :-1]), axis=-1)
    upper = np.concatenate((power[..., 1:], power[..., -1:]), axis=-1)
    spread: Float32Array = _BESIDE_SHARE * (lower + upper) + _OWN_SHARE * power
    return spread


def _advance(state: NDArray[np.float32], power: Float32Array, spread: Float32Array, hop: NDArray[np.int64]) -> tuple[Float32Array, Float32Array]:
    """One hop of all sessions: state (ROWS, sessions, BINS) in place, the others (sessions, BINS); the full gain squared, and speech presence."""
    if hop.min() < START_HOPS:
        _start(state, power, hop[:, None])
    is_likely = _track_minima(state, spread, hop)
    noise, seen, speech_power = state[NOISE], state[PRESENCE], state[SPEECH_POWER]
    posterior = power / noise
    np.minimum(posterior, _MOST_POSTERIOR, out=posterior)
    prior = posterior - _ONE
    np.maximum(prior, _NOTHING, out=prior)
    prior *= _NEW_SHARE
    speech_power /= noise
    speech_power *= _OLD_SHARE
    prior += speech_power
    np.maximum(prior, _LEAST_PRIOR, out=prior)
    above = prior + _ONE
    wiener = np.divide(prior, above, out=prior)
    v = posterior * wiener
    fallen = np.exp(-v)
    squared = exponential_of_integral(v, fallen)
    squared *= wiener
    squared *= wiener
    np.minimum(squared, _ONE, out=squared)
    presence = is_likely * _ODDS_CHANGE  # the odds of absence first
    presence += _ODDS_UNLIKELY
    presence *= above
    presence *= fallen
    presence += _ONE
    np.divide(_ONE, presence, out=presence)
    np.multiply(squared, posterior, out=speech_power)
    speech_power *= noise
    share = presence * _FRESH
    np.maximum(share, seen, out=share)
    np.subtract(_ONE, share, out=share)
    share *= _NOISE_SHARE
    power = power * _NOISE_BIAS
    power -= noise
    power *= share
    noise += power
    return squared, presence


def _start(state: NDArray[np.float32], power: Float32Array, hop: NDArray[np.int64]) -> None:
    """The first hops' mean is the first noise estimate; the very first also begins the smoothing and the minima."""
    share = (np.float32(1.0) / (hop + 1).astype(np.float32)).astype(np.float32)
    state[NOISE] = np.where(hop < START_HOPS, state[NOISE] + share * (power - state[NOISE]), state[NOISE])
    for row in (SMOOTHED, MINIMUM, NEXT_MINIMUM, SPEECH_POWER):
        state[row] = np.where(hop == 0, power, state[row])


def _track_minima(state: NDArray[np.float32], spread: Float32Array, hop: NDArray[np.int64]) -> Float32Array:
    """1 where the smoothed power stands so far above its minimum that speech is likely, and 0 elsewhere."""
    smoothed, minimum, following, seen = state[SMOOTHED], state[MINIMUM], state[NEXT_MINIMUM], state[PRESENCE]
    smoothed *= _SMOOTHING
    smoothed += spread
    np.minimum(minimum, smoothed, out=minimum)
    np.minimum(following, smoothed, out=following)
    is_renewed = hop % MINIMUM_HOPS == MINIMUM_HOPS - 1
    if is_renewed.any():
        minimum[is_renewed] = following[is_renewed]
        following[is_renewed] = smoothed[is_renewed]
    is_likely: Float32Array = (smoothed > minimum * _LIKELY_ABOVE).astype(np.float32)
    seen *= _SEEN_SHARE
    seen += is_likely * _LIKELY_SHARE
    return is_likely


def exponential_of_integral(x: Float32Array, fallen: Float32Array) -> Float32Array:
    """exp(E1(x)) for x > 0, where ``fallen`` is exp(-x): within 5e-5 of it.

    (exp(E1(x)) - 1) x exp(x) rises smoothly from exp(-0.5772) at 0 to 1; the quotient is fitted to that.
    """
    above = x + _FIT[0]
    above *= x
    above += _FIT[1]
    below = x + _FIT[2]
    below *= x
    below += _FIT[3]
    below *= x
    above *= fallen
    above /= below
    above += _ONE
    return above
