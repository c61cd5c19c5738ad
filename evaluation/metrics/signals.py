"""How near cleaned audio is to the clean original: SI-SDR by its formula, PESQ by pesq, STOI by pystoi."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

LEAST_S = 0.4  # of audio that PESQ and STOI can say something about


def si_sdr_db(reference: Float32Array, estimate: Float32Array) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019)."""
    size = min(reference.size, estimate.size)
    clean, heard = reference[:size].astype(np.float64), estimate[:size].astype(np.float64)
    clean, heard = clean - clean.mean(), heard - heard.mean()
    target = clean * (heard @ clean) / (clean @ clean + 1e-12)
    return float(10.0 * np.log10((target @ target + 1e-12) / ((heard - target) @ (heard - target) + 1e-12)))


def pesq(reference: Float32Array, estimate: Float32Array) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2), 1 to 4.64; None where it finds no speech. Needs ``has_pesq``."""
    size = min(reference.size, estimate.size)
    if size < LEAST_S * SAMPLE_RATE_HZ or not (reference[:size].any() and estimate[:size].any()):
        return None
    library = import_module("pesq")
    try:
        return float(library.pesq(SAMPLE_RATE_HZ, reference[:size], estimate[:size], "wb"))
    except library.PesqError:
        return None


def has_pesq() -> bool:
    """The library has no wheels: pip compiles it, so it may be missing where there is no C compiler."""
    return find_spec("pesq") is not None


def stoi(reference: Float32Array, estimate: Float32Array) -> float | None:
    """Short-time objective intelligibility (Taal et al., 2011), about 0 to 1; None for audio that is too short."""
    size = min(reference.size, estimate.size)
    if size < LEAST_S * SAMPLE_RATE_HZ:
        return None
    return float(import_module("pystoi").stoi(reference[:size], estimate[:size], SAMPLE_RATE_HZ))
