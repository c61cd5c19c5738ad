"""Whose voice is it? Every two recordings compared by what the embedder makes of them: equal error rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from evaluation.items import DataUnusable, Item
from evaluation.metrics.verification import equal_error_rate
from evaluation.task import UNTOUCHED, Heard, Score
from services.diarize.compose import speaker_embedder
from services.diarize.settings import DiarizeSettings
from services.diarize.turns import all_starts, window_at
from voxrelay.audio import Float32Array, seconds
from voxrelay.settings import PlatformSettings, load_settings


class SpeakerVerification:
    """Utterances as denoise cuts them, windows as diarize cuts them, a recording's direction the mean of its windows'."""

    name = "speaker"
    measure = "EER"
    is_higher_better = False
    services = ("denoise",)
    stages = ("denoise",)
    needs = "speaker, of at least two people with two recordings each"
    baseline = UNTOUCHED
    floor = ""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def suits(self, item: Item) -> bool:
        return bool(item.speaker)

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        embedder = speaker_embedder(load_settings(PlatformSettings), load_settings(DiarizeSettings))
        began = time.perf_counter()
        spoken = [_speech(one) for one in heard]
        directions: dict[int, Float32Array] = {}
        for number, utterances in enumerate(spoken):
            windows = [
                window_at(one, start, embedder.window_samples)
                for one in utterances
                for start in all_starts(one.size, embedder.window_samples, embedder.step_samples)
            ]
            if windows:
                mean = embedder.embed(np.stack(windows)).mean(axis=0)
                directions[number] = mean / np.linalg.norm(mean)
        took_s = time.perf_counter() - began
        audio_s = sum(seconds(one.samples.size) for one in heard)
        self._notes = [f"{embedder.engine.name} embedded {audio_s:.0f} s of audio in {took_s:.1f} s."]
        if len(heard) > len(directions):
            self._notes.append(f"{len(heard) - len(directions)} recordings held no utterance and are left out.")
        return _scored(heard, directions)

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:  # noqa: ARG002  # guessing is one half by definition
        return []

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        return {"pairs": sum(score.weight for score in scores) / 2}

    def notes(self) -> list[str]:
        return self._notes


def _speech(heard: Heard) -> list[Float32Array]:
    return [heard.outcome.samples[one.start_sample : one.end_sample] for one in heard.outcome.utterances]


def _scored(heard: Sequence[Heard], directions: dict[int, Float32Array]) -> list[Score]:
    """Of each recording: how many of its pairs the threshold at the equal error rate decides wrongly, both kinds weighing the same."""
    pairs = list(combinations(sorted(directions), 2))
    is_same = [heard[one].item.speaker == heard[other].item.speaker for one, other in pairs]
    cosines = [float(directions[one] @ directions[other]) for one, other in pairs]
    try:
        rate, threshold = equal_error_rate(is_same, cosines)
    except ValueError:
        raise DataUnusable("An equal error rate needs two recordings of one speaker and one of another.") from None
    wrong, weight = np.zeros(len(heard)), np.zeros(len(heard))
    share = sum(is_same) / len(is_same)
    for (one, other), same, cosine in zip(pairs, is_same, cosines, strict=True):
        counts = 0.5 / (share if same else 1 - share)  # as if there were as many of either kind
        for number in (one, other):
            weight[number] += counts
            wrong[number] += counts * ((cosine >= threshold) != same)
    total = float(wrong.sum())
    level = rate * float(weight.sum()) / total if total else 0.0  # the steps of the curve lie beside the rate: the sum is the rate itself
    return [Score(one.item, float(wrong[number]) * level, float(weight[number])) for number, one in enumerate(heard)]
