"""What was seen: a page with a line for every query, and a picture of each dashboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dashboards import Panel

from observing.prometheus import Series

COLUMNS = 3
DPI, COLOURS = 80, 128  # legible, and under 100 kB a picture
UNITS = {"s": "seconds", "percentunit": "share", "bytes": "MiB", "reqps": "a second", "eps": "a second", "h": "hours", "short": ""}
SCALE = {"bytes": 1 / 2**20}


@dataclass(frozen=True)
class Line:
    """One query and what came back."""

    place: str
    title: str
    expression: str
    series: int
    samples: int
    is_expected_empty: bool = False

    @property
    def is_good(self) -> bool:
        return self.samples > 0 or self.is_expected_empty


def table(lines: Sequence[Line]) -> str:
    rows = [f"| {line.place} | {line.title} | `{line.expression.replace('|', chr(92) + '|')}` | {line.series} | {line.samples} |" for line in lines]
    return "\n".join(["| of | what | query | series | values |", "|---|---|---|---|---|", *rows])


def draw(path: Path, title: str, panels: Sequence[tuple[Panel, dict[str, list[Series]]]], start: float) -> None:
    """One picture of a dashboard's panels over time, minutes from ``start``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    drawn = [(panel, found) for panel, found in panels if panel.kind == "timeseries"]
    rows = math.ceil(len(drawn) / COLUMNS)
    figure = Figure(figsize=(5 * COLUMNS, 2.9 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title)
    for at, (panel, found) in enumerate(drawn):
        axes = figure.add_subplot(rows, COLUMNS, at + 1)
        axes.set_title(panel.title, fontsize=10)
        axes.set_ylabel(UNITS[panel.unit], fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        for legend, all_series in found.items():
            for series in all_series:
                values = [value * SCALE.get(panel.unit, 1.0) for value in series.values]
                axes.plot([(moment - start) / 60 for moment in series.times], values, label=_name(legend, series), linewidth=1.2)
        axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=6.5, loc="upper left", ncols=2, framealpha=0.4)
    figure.supxlabel("minutes", fontsize=8)
    figure.set_dpi(DPI)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _name(legend: str, series: Series) -> str:
    for label, value in series.labels.items():
        legend = legend.replace("{{" + label + "}}", value)
    return legend
