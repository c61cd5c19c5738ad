"""Are two recordings of one speaker? Equal error rate, and how well a score tells two kinds apart, by scikit-learn's curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import recall_score, roc_auc_score, roc_curve


def equal_error_rate(is_same: Sequence[bool], scores: Sequence[float]) -> tuple[float, float]:
    """Where as many impostors are accepted as speakers are refused: that rate, by straight lines between thresholds, and the threshold.

    Raises ``ValueError`` where there are not both kinds.
    """
    if len(set(is_same)) < 2:
        raise ValueError("both kinds of pairs are needed")
    false_accepts, true_accepts, thresholds = roc_curve(np.asarray(is_same), np.asarray(scores))
    gap = false_accepts - (1.0 - true_accepts)  # from -1 to 1, never falling
    at = int(np.searchsorted(gap, 0.0))
    if at == 0:
        return float(false_accepts[0]), float(thresholds[0])
    share = -gap[at - 1] / (gap[at] - gap[at - 1])
    return float(false_accepts[at - 1] + share * (false_accepts[at] - false_accepts[at - 1])), float(thresholds[at])


def area_under_curve(is_speech: Sequence[bool], scores: Sequence[float]) -> float | None:
    """1 tells all apart, 0.5 nothing; None where there are not both kinds."""
    return float(roc_auc_score(np.asarray(is_speech), np.asarray(scores))) if len(set(is_speech)) == 2 else None


def balanced_accuracy(wanted: Sequence[str], said: Sequence[str]) -> float:
    """The mean over labels of the share that was recognised: a label that is frequent counts no more than a rare one."""
    return float(recall_score(list(wanted), list(said), labels=sorted(set(wanted)), average="macro", zero_division=0.0))
