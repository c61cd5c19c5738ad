"""What trained classifiers share: utterances in windows of one length, and labels out of probabilities, beside what signal processing tells.

Windows of one length make batches of any utterances, bound the memory, and keep an answer the same whatever else is in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from services.classify.engines.acoustic import SignalClassifier
from voxrelay.attributes import BY_NAME, names
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.batches import Batches
from voxrelay.engines import EngineUnusable
from voxrelay.events import Attribute

LEAST_SAMPLES = SAMPLE_RATE_HZ // 2

Score = Callable[[Float32Array], Float32Array]  # windows (n, samples) to probabilities (n, labels)


class LearntAttribute:
    """One attribute, by a model that gives each label a probability; every other acoustic attribute is that of ``SignalClassifier``."""

    def __init__(self, attribute: str, labels: str, window_s: float, batch: int) -> None:
        """``labels`` are separated by commas, in the model's order. Raises ``EngineUnusable`` for what cannot be an attribute and its labels."""
        kind = BY_NAME.get(attribute)
        self.labels = tuple(label.strip() for label in labels.split(","))
        if kind is None or kind.source != "acoustic" or kind.range is not None:
            possible = ", ".join(name for name in names("acoustic") if BY_NAME[name].range is None)
            raise EngineUnusable(f"A classifier cannot give the attribute '{attribute}': choose one of {possible}.")
        unknown = [label for label in self.labels if not label or (kind.labels and label not in kind.labels)]
        if unknown or len(self.labels) < 2:
            raise EngineUnusable(f"'{labels}' cannot be the labels of '{attribute}': name two or more in the model's order, separated by commas.")
        if not 0.5 <= window_s <= 60.0:
            raise EngineUnusable("A classifier's window_s must be 0.5 to 60 seconds.")
        self._attribute, self._window = attribute, int(window_s * SAMPLE_RATE_HZ)
        self._signal, self._batches = SignalClassifier(), Batches(batch)
        self.names = tuple(name for name in names("acoustic") if name == attribute or name in self._signal.names)

    def classify(self, utterances: Sequence[Float32Array], score: Score) -> list[tuple[Attribute, ...]]:
        clean = [np.nan_to_num(samples, posinf=0.0, neginf=0.0).clip(-1.0, 1.0) for samples in utterances]
        windows = [self._windows(samples) for samples in clean]
        rows = [row for of_one in windows for row in of_one]
        probabilities = iter(self._batches.run(rows, lambda part: list(score(np.stack(part)))))
        answers = []
        for samples, of_one, measured in zip(clean, windows, self._signal.classify(clean), strict=True):
            found = {attribute.name: attribute for attribute in measured}
            if of_one:
                found[self._attribute] = self._likeliest([next(probabilities) for _ in of_one], samples.size)
            answers.append(tuple(found[name] for name in self.names if name in found))
        return answers

    def _windows(self, samples: Float32Array) -> list[Float32Array]:
        """One after the other, the last filled up with silence; none of an utterance that is too short."""
        if samples.size < LEAST_SAMPLES:
            return []
        whole = np.pad(samples, (0, -samples.size % self._window)).astype(np.float32, copy=False)
        return list(whole.reshape(-1, self._window))

    def _likeliest(self, rows: Sequence[Float32Array], samples: int) -> Attribute:
        """By the mean over the windows, each as heavy as it is long; the confidence is that probability."""
        weights = np.full(len(rows), float(self._window))
        weights[-1] = samples - self._window * (len(rows) - 1)
        mean = np.average(np.stack(rows).astype(np.float64), axis=0, weights=weights)
        best = int(np.argmax(np.round(mean, 4)))
        return Attribute(self._attribute, self.labels[best], round(float(min(max(mean[best], 0.0), 1.0)), 3))


def softmax(scores: Float32Array) -> Float32Array:
    """Over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)
