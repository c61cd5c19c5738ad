"""The voice's single periods, and how much they differ: jitter and shimmer.

Periods are found by matching the waveform with itself one period later (Y. Medan, E. Yair and D. Chazan, "Super resolution pitch
determination of speech signals", IEEE Trans. Signal Processing 39, 1991; the way Praat's "PointProcess (cc)" walks), and compared as
Praat does ("local" jitter and shimmer, the same limits on what counts as a pair).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.classify.engines.pitch import HOP_SAMPLES, WINDOW_SAMPLES, Float64Array, PitchTrack
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

STRETCH_FRAMES = 16  # so many hundredths of a second of unbroken voice are walked on their own: all stretches side by side
SHORTEST_FRAMES = 5
MOST_STRETCHES = 60  # evenly spread over the utterance: ten seconds of voice are enough, and bound the work
LEAST_MATCH = 0.6  # correlation below which the next period is not the same waveform again: the walk ends
_REACH_SHARE = 0.12  # how far from the tracked period the next one is looked for, as a share of it
_RATIO_LIMIT = 1.3  # Praat's "maximum period factor"
_AMPLITUDE_LIMIT = 1.6  # Praat's "maximum amplitude factor"


@dataclass(frozen=True, slots=True)
class Perturbation:
    """``jitter`` and ``shimmer`` in percent, over ``pairs`` of successive periods; ``match`` is the mean correlation between them."""

    jitter: float
    shimmer: float
    pairs: int
    match: float


@dataclass(frozen=True, slots=True)
class _Walks:
    """All stretches walked side by side. Shape (stretches, steps); ``is_period`` says where there is one."""

    lengths: Float64Array
    amplitudes: Float64Array
    matches: Float64Array
    is_period: NDArray[np.bool_]


def perturbation(samples: Float32Array, track: PitchTrack) -> Perturbation | None:
    """None where no two pairs of periods are found."""
    stretches = _stretches(track)
    if not stretches:
        return None
    walks = _walk(samples.astype(np.float64), track, stretches)
    both = walks.is_period[:, 1:] & walks.is_period[:, :-1]
    first, second = walks.lengths[:, :-1], walks.lengths[:, 1:]
    of_length = both & (np.maximum(first, second) < _RATIO_LIMIT * np.minimum(first, second))
    quiet, loud = np.minimum(walks.amplitudes[:, :-1], walks.amplitudes[:, 1:]), np.maximum(walks.amplitudes[:, :-1], walks.amplitudes[:, 1:])
    of_amplitude = both & (quiet > 0) & (loud < _AMPLITUDE_LIMIT * quiet)
    pairs = int(min(np.count_nonzero(of_length), np.count_nonzero(of_amplitude)))
    if pairs < 2:
        return None
    jitter = np.abs(first - second)[of_length].mean() / walks.lengths[walks.is_period].mean()
    shimmer = (loud - quiet)[of_amplitude].mean() / walks.amplitudes[walks.is_period].mean()
    return Perturbation(100.0 * float(jitter), 100.0 * float(shimmer), pairs, float(walks.matches[walks.is_period].mean()))


def _stretches(track: PitchTrack) -> list[tuple[int, int]]:
    """First frame and the one after the last, each of unbroken voice."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], track.is_voiced.astype(np.int8), [0]))))
    found = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for at in range(start, end, STRETCH_FRAMES):
            if min(at + STRETCH_FRAMES, end) - at >= SHORTEST_FRAMES:
                found.append((at, min(at + STRETCH_FRAMES, end)))
    if len(found) <= MOST_STRETCHES:
        return found
    return [found[index] for index in np.linspace(0, len(found) - 1, MOST_STRETCHES).round().astype(int)]


def _walk(samples: Float64Array, track: PitchTrack, stretches: list[tuple[int, int]]) -> _Walks:
    """From each stretch's first peak from period to period to its end."""
    first_frame = np.array([start for start, _ in stretches])
    last_sample = np.array([(end - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2 for _, end in stretches], dtype=np.float64)
    voiced_hz = track.pitch_hz[track.is_voiced]
    longest = int(np.ceil(SAMPLE_RATE_HZ / float(voiced_hz.min())))
    padding = 2 * longest + 2 * _reach(longest)
    padded = np.concatenate((np.zeros(padding), samples, np.zeros(padding)))
    at = np.array([_first_peak(padded, padding, track, frame) for frame in first_frame], dtype=np.float64)
    steps = int(np.ceil(STRETCH_FRAMES * HOP_SAMPLES / (SAMPLE_RATE_HZ / float(voiced_hz.max())) * 1.2))
    walking = np.arange(len(stretches))
    places, periods, lengths, amplitudes, matches = (np.zeros((len(stretches), steps)) for _ in range(5))
    is_period = np.zeros((len(stretches), steps), dtype=bool)
    for step in range(steps):
        period = _period_at(track, at[walking])
        lag, match = _next_period(padded, np.rint(at[walking]).astype(int) + padding, period)
        arrived = np.rint(at[walking]) + lag
        goes_on = (match >= LEAST_MATCH) & (arrived <= last_sample[walking])
        walking = walking[goes_on]
        if walking.size == 0:
            break
        lengths[walking, step], matches[walking, step], is_period[walking, step] = lag[goes_on], match[goes_on], True
        places[walking, step], periods[walking, step] = at[walking] + padding, period[goes_on]
        at[walking] = arrived[goes_on]
    if is_period.any():
        amplitudes[is_period] = _amplitude(padded, places[is_period], periods[is_period])
    return _Walks(lengths, amplitudes, matches, is_period)


def _reach(period: int) -> int:
    return int(np.ceil(period * _REACH_SHARE)) + 1


def _first_peak(padded: Float64Array, padding: int, track: PitchTrack, frame: int) -> int:
    start = frame * HOP_SAMPLES + WINDOW_SAMPLES // 2
    period = int(SAMPLE_RATE_HZ / track.pitch_hz[frame])
    return start + int(np.abs(padded[start + padding : start + padding + period]).argmax())


def _period_at(track: PitchTrack, at: Float64Array) -> Float64Array:
    """The tracked period, in samples, of the frame nearest to each place: voiced, because a walk ends where its stretch does."""
    frame = np.clip(np.rint((at - WINDOW_SAMPLES / 2) / HOP_SAMPLES).astype(int), 0, track.pitch_hz.size - 1)
    return np.asarray(SAMPLE_RATE_HZ / track.pitch_hz[frame])


def _next_period(padded: Float64Array, centre: NDArray[np.int_], period: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The lag, to a fraction of a sample, at which one period around ``centre`` comes back, and the correlation there."""
    rounded = np.rint(period).astype(int)
    reach = _reach(int(rounded.max()))
    width = int(rounded.max()) | 1
    half = width // 2
    inside = np.abs(np.arange(width) - half)[None, :] <= rounded[:, None] // 2
    here = padded[(centre - half)[:, None] + np.arange(width)] * inside
    rows = padded[(centre + rounded - reach - half)[:, None] + np.arange(width + 2 * reach)]
    windows = np.lib.stride_tricks.sliding_window_view(rows, width, axis=1)  # (stretches, lags, width)
    product = np.einsum("slw,sw->sl", windows, here)
    so_far = np.cumsum(np.pad(rows * rows, ((0, 0), (1, 0))), axis=1)
    first = np.arange(2 * reach + 1) + (half - rounded // 2)[:, None]
    energy = np.take_along_axis(so_far, first + 2 * (rounded // 2)[:, None] + 1, axis=1) - np.take_along_axis(so_far, first, axis=1)
    own_energy = np.einsum("sw,sw->s", here, here)[:, None]
    correlation = np.clip(product / np.sqrt(np.maximum(energy * own_energy, 1e-20)), -1.0, 1.0)
    allowed = np.abs(np.arange(2 * reach + 1) - reach)[None, :] <= np.maximum(_REACH_SHARE * period, 2.0)[:, None]
    best = np.clip(np.where(allowed, correlation, -2.0).argmax(axis=1), 1, 2 * reach - 1)
    index = np.arange(len(best))
    before, peak, after = correlation[index, best - 1], correlation[index, best], correlation[index, best + 1]
    bend = np.minimum(before - 2.0 * peak + after, -1e-12)
    shift = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    return rounded - reach + best + shift, peak


def _amplitude(padded: Float64Array, at: Float64Array, period: Float64Array) -> Float64Array:
    """RMS around the peak, a fifth of a period to both sides under a Hann window laid on the exact place."""
    half = np.maximum(0.2 * period, 2.0)
    reach = int(np.ceil(half.max()))
    places = np.rint(at).astype(int)[:, None] + np.arange(-reach, reach + 1)
    weight = np.maximum(0.0, 0.5 + 0.5 * np.cos(np.pi * np.clip((places - at[:, None]) / half[:, None], -1.0, 1.0)))
    return np.asarray(np.sqrt((weight * padded[places] ** 2).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12)))
