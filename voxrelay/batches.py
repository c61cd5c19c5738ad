"""Many rows in few calls of a model, and fewer rows a call where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from voxrelay.errors import Unavailable
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

Row = TypeVar("Row")
Result = TypeVar("Result")

SIGNS = ("out of memory", "failed to allocate memory", "bad_alloc", "bad allocation")  # of CUDA, PyTorch and CTranslate2; of ONNX Runtime; of C++


class Batches:
    """At most ``rows`` of them in a call; half as many from then on each time memory runs out, which is logged. Thread-safe."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def run(self, work: Sequence[Row], call: Callable[[Sequence[Row]], Sequence[Result]]) -> list[Result]:
        """``call`` over all the work, in order. Raises ``Unavailable`` when there is no memory for a single row, and whatever else it raises."""
        results: list[Result] = []
        while len(results) < len(work):
            part = work[len(results) : len(results) + self.rows]
            try:
                answers = call(part)
            except Exception as error:
                self._shrink(error, len(part))
                continue
            results.extend(answers)
        return results

    def _shrink(self, error: Exception, size: int) -> None:
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in SIGNS):
            raise error
        if size == 1:
            raise Unavailable("There is not enough memory on the device for one piece of audio: free some, or take a smaller model.") from error
        self.rows = max(1, size // 2)
        log.warning("The device ran out of memory; fewer pieces of audio go to the model at once from here on.", extra=fields(batch=self.rows))
