"""From windows with speakers to stretches with speakers: where windows lie, which part of the speech each stands for, and smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
QUIET_DB = 40.0  # so far below the loud parts of an utterance nobody speaks
LOUD_SHARE = 0.95
MARGIN_FRAMES = 5
LONGEST_BRIDGED_FRAMES = 30  # a shorter pause belongs to the speech around it
LEAST_POWER = 1e-12

Span = tuple[int, int]  # samples from the utterance's start: first, and after the last


def regular_starts(samples: int, window: int, step: int) -> list[int]:
    """Where windows begin in the first ``samples`` of an utterance."""
    return list(range(0, samples - window + 1, step))


def all_starts(samples: int, window: int, step: int) -> list[int]:
    """The windows of a whole utterance; one that is shorter than a window has one, an empty one none."""
    if samples < window:
        return [0] if samples else []
    starts = regular_starts(samples, window, step)
    if samples - window - starts[-1] >= step // 2:  # else the last one stands for so little more of the utterance
        starts.append(samples - window)
    return starts


def window_at(samples: Float32Array, start: int, window: int) -> Float32Array:
    """One window; an utterance shorter than that is said over and over until it is full."""
    return samples[start : start + window] if samples.size >= window else np.resize(samples, window)


def slots(starts: Sequence[int], window: int, samples: int) -> list[Span]:
    """The part each window stands for: what is nearer to its middle than to any other's."""
    middles = [start + window // 2 for start in starts]
    edges = [0, *((one + other) // 2 for one, other in pairwise(middles)), samples]
    return list(pairwise(edges))


def speech_spans(samples: Float32Array) -> list[Span]:
    """The utterance without the quiet at its ends and without long pauses; the whole of it where nothing stands out."""
    frames = samples.size // FRAME_SAMPLES
    if frames == 0:
        return [(0, samples.size)] if samples.size else []
    pieces = samples[: frames * FRAME_SAMPLES].reshape(frames, FRAME_SAMPLES).astype(np.float64)
    level_db = 10 * np.log10(np.mean(pieces * pieces, axis=1) + LEAST_POWER)
    loud_db = np.sort(level_db)[int(LOUD_SHARE * (frames - 1))]
    loud = np.flatnonzero(level_db >= loud_db - QUIET_DB)
    spans: list[Span] = []
    for frame in loud.tolist():
        first, last = max(0, frame - MARGIN_FRAMES), min(frames, frame + 1 + MARGIN_FRAMES)
        if spans and first - spans[-1][1] < LONGEST_BRIDGED_FRAMES:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return [(first * FRAME_SAMPLES, samples.size if last == frames else last * FRAME_SAMPLES) for first, last in spans]


def smoothed(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A single window between two of one other speaker is taken for that speaker: it only heard a bit of both."""
    result = labels.copy()
    for at in range(1, labels.size - 1):
        if labels[at - 1] == labels[at + 1] != labels[at]:
            result[at] = labels[at - 1]
    return result


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's stretch, in samples from the utterance's start; ``label`` 1 is S1. ``confidence`` is in [0, 1]."""

    label: int
    start: int
    end: int
    confidence: float


def turns(labels: Sequence[int], confidences: Sequence[float], spans: Sequence[Span], speech: Sequence[Span]) -> list[Turn]:
    """What each speaker said, in order, nothing twice: windows' spans cut to the speech, neighbours of one speaker joined."""
    found: list[tuple[int, int, int, list[tuple[int, float]]]] = []
    for label, confidence, (start, end) in zip(labels, confidences, spans, strict=True):
        for first, last in speech:
            one, other = max(start, first), min(end, last)
            if one >= other:
                continue
            if found and found[-1][0] == label and found[-1][2] == one:
                found[-1] = (label, found[-1][1], other, [*found[-1][3], (other - one, confidence)])
            else:
                found.append((label, one, other, [(other - one, confidence)]))
    return [Turn(label, start, end, _mean(parts)) for label, start, end, parts in found]


def _mean(parts: Sequence[tuple[int, float]]) -> float:
    return round(sum(samples * confidence for samples, confidence in parts) / sum(samples for samples, _ in parts), 3)
