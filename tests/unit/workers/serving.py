"""What the worker processes of these tests serve."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


class Serving:
    """Counts, waits, fails and dies as told. ``trap``: a file whose existence kills a worker while it starts."""

    def __init__(self, trap: str = "") -> None:
        if trap and Path(trap).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count

    def process_id(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise ValueError("told to")

    def unpicklable(self) -> Any:
        return lambda: None

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def meet(self, mine: str, other: str) -> bool:
        """Whether the other worker came while this one waited: true only if both run at the same time."""
        Path(mine).touch()
        for _ in range(3000):
            if Path(other).exists():
                return True
            time.sleep(0.01)
        return False


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no model here")
