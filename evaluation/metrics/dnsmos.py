"""DNSMOS P.835 on ONNX Runtime: https://github.com/microsoft/DNS-Challenge, code MIT, content CC BY 4.0.

Method: Reddy, Gopal, Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to evaluate noise suppressors",
ICASSP 2022. A network hears 9 s and says what listeners would: of the speech (SIG), of the background (BAK) and of all (OVRL), 1 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.onnx import OnnxModel

MODEL = "dnsmos"
WINDOW_SAMPLES = int(9.01 * SAMPLE_RATE_HZ)
HOP_SAMPLES = SAMPLE_RATE_HZ
# From the network's answers to the scale of the listeners: the polynomials published with it, highest power first.
SCALES: Mapping[str, tuple[float, ...]] = {
    "SIG": (-0.08397278, 1.22083953, 0.0052439),
    "BAK": (-0.13166888, 1.60915514, -0.39604546),
    "OVRL": (-0.06766283, 1.11546468, 0.04602535),
}


class Dnsmos:
    def __init__(self, weights: Path) -> None:
        """Raises ``EngineUnusable`` for weights that cannot be read or are another model's."""
        self._model = OnnxModel(weights, inputs=("input_1",), hint=f"run 'voxrelay models pull {MODEL}'")

    def rate(self, samples: Float32Array) -> dict[str, float]:
        """SIG, BAK and OVRL: the mean over windows a second apart. Shorter audio is said over and over; nothing is rated nothing."""
        if samples.size == 0:
            return {}
        heard = samples if samples.size >= WINDOW_SAMPLES else np.tile(samples, -(-WINDOW_SAMPLES // samples.size))
        starts = range(0, max(1, heard.size - WINDOW_SAMPLES + 1), HOP_SAMPLES)
        answers = [self._model.run({"input_1": heard[np.newaxis, at : at + WINDOW_SAMPLES]})[0][0] for at in starts]
        return {
            name: float(np.mean([np.polyval(scale, answer[number]) for answer in answers])) for number, (name, scale) in enumerate(SCALES.items())
        }
