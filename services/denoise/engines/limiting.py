"""How strongly a network suppresses: it has no gain to turn down, so the untouched sound is mixed back in.

Strength s leaves noise at most 20 s dB below what it was: a share of 10^-s of the untouched sound stays in, as the floor of ``omlsa`` does,
and all of it at strength 0. The share glides over a hop, for a step would click.
"""

from __future__ import annotations

import numpy as np

from services.denoise.engine import HOP_SAMPLES, Passage, State
from voxrelay.audio import Float32Array

DELAY_HOPS = 3
DELAY_SAMPLES = DELAY_HOPS * HOP_SAMPLES  # 24 ms: what the networks here need

_RAMP: Float32Array = np.arange(1, HOP_SAMPLES + 1, dtype=np.float32) / np.float32(HOP_SAMPLES)


def open_limit() -> State:
    """What mixing keeps of a session: the sound that the network has not given back yet, and its shares."""
    return {
        "untouched": np.zeros(0, dtype=np.float32),  # at most 384 samples
        "shares": np.zeros(0, dtype=np.float32),  # of these hops
        "share": np.full(1, np.nan, dtype=np.float32),  # of the hop given back last; not a number before the first
    }


def limited(passage: Passage, cleaned: Float32Array) -> Float32Array:
    """``cleaned``, whole hops from the network that are 384 samples behind what it was given, with the untouched sound mixed in."""
    state = passage.state
    untouched = np.concatenate((state["untouched"], passage.samples))
    shares = np.concatenate((state["shares"], np.float32(10.0) ** -passage.strengths.astype(np.float32)))
    hops = cleaned.size // HOP_SAMPLES
    state["untouched"], state["shares"] = untouched[cleaned.size :].copy(), shares[hops:].copy()
    if hops == 0:
        return cleaned
    before = np.concatenate((shares[:1] if np.isnan(state["share"][0]) else state["share"], shares[: hops - 1]))
    state["share"] = shares[hops - 1 : hops].copy()
    share = (before[:, None] + (shares[:hops] - before)[:, None] * _RAMP).reshape(-1)
    mixed: Float32Array = share * untouched[: cleaned.size] + (np.float32(1.0) - share) * cleaned
    return mixed
