"""The soak over its time: delays above, memory below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(intervals: Sequence[dict[str, Any]], path: Path) -> None:
    """Memory as a multiple of what each process had at the end of the first fifth."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    minutes = [each["until_s"] / 60 for each in intervals]
    first = intervals[len(intervals) // 5]["memory_mb"]
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(10, 7), sharex=True)
    for name in ("p50_ms", "p99_ms"):
        above.plot(minutes, [each[name] for each in intervals], label=name.removesuffix("_ms"))
    above.set_ylabel("ms")
    above.set_yscale("log")
    for name, at_first in first.items():
        below.plot(minutes, [each["memory_mb"][name] / at_first for each in intervals], label=f"{name} ({at_first:.0f} MB)")
    below.set_ylabel("memory, times what it was")
    below.set_xlabel("minutes")
    for panel in (above, below):
        panel.grid(visible=True, alpha=0.25)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(f"written: {path}")
