"""No suppression at all, for measuring and for audio that is clean by its source."""

from __future__ import annotations

from collections.abc import Sequence

from services.denoise.engine import Passage, State
from voxrelay.audio import Float32Array
from voxrelay.events import Engine


class PassthroughSuppressor:
    """Samples come back as they are, at once."""

    engine = Engine("passthrough", "1")
    delay_samples = 0

    def open(self) -> State:
        return {}

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        return [passage.samples for passage in work]

    def check(self) -> str | None:
        return None
