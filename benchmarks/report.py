"""How every benchmark reports: a table for people, JSON and a plot for everything else, machine and versions on all of them."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent / "out"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "eval"  # real speech, where it lies beside the checkout
LIBRARIES = ("numpy", "confluent-kafka", "protobuf", "onnxruntime", "pocketsphinx")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; ``share`` in [0, 1]."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def write_json(name: str, figures: Mapping[str, Any]) -> Path:
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    print(f"\nwritten: {path}")
    return path


def write_shares(name: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> Path:
    """Points joined to a line for each name; both axes by powers."""

    def draw(axes: Any) -> None:
        for label, points in lines.items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
        axes.set_xscale("log")
        _write_out(axes.xaxis)
        axes.set_xlabel(across)

    return _write_plot(name, up, draw)


def write_percentiles(name: str, title: str, unit: str, seen: Mapping[str, Mapping[int, Sequence[float]]]) -> Path:
    """For each mode and number of sessions the value that a share of all stayed within: what is rare is as wide as what is common."""

    def draw(axes: Any) -> None:
        for number, (mode, by_sessions) in enumerate(seen.items()):
            for strength, (sessions, values) in enumerate(by_sessions.items()):
                ordered = sorted(values)
                missing = [1 - at / len(ordered) for at in range(len(ordered))]
                shade = 0.4 + 0.6 * (strength + 1) / len(by_sessions)
                axes.plot(missing, ordered, color=f"C{number}", alpha=shade, label=f"{mode}, {sessions} sessions")
        axes.set_xscale("log")
        axes.set_xlim(1, 1e-4)
        axes.set_xticks([1, 0.5, 0.1, 0.01, 0.001, 0.0001], ["0", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
        axes.set_xlabel(f"{title}: share within")

    return _write_plot(name, unit, draw)


def write_bars(name: str, up: str, groups: Mapping[str, Mapping[str, float]]) -> Path:
    """Bars of the same names, in the same order, for each group; those without a value are left out."""
    names = list(dict.fromkeys(bar for bars in groups.values() for bar in bars))

    def draw(axes: Any) -> None:
        for number, bar in enumerate(names):
            places = [(at + (number + 0.5) / (len(names) + 1), bars[bar]) for at, bars in enumerate(groups.values()) if bar in bars]
            axes.bar([at for at, _ in places], [height for _, height in places], 1 / (len(names) + 1), label=bar)
        axes.set_xticks([at + len(names) / 2 / (len(names) + 1) for at in range(len(groups))], list(groups), fontsize=8, rotation=20)

    return _write_plot(name, up, draw, scale="linear")


def _write_out(axis: Any) -> None:
    """An axis by powers, whose numbers are no powers: 2000 rather than 2 times ten to the third."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def _write_plot(name: str, up: str, draw: Callable[[Any], None], scale: str = "log") -> Path:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5))
    draw(axes)
    axes.set_yscale(scale)
    if scale == "log":
        _write_out(axes.yaxis)
    axes.set_ylabel(up)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.tight_layout()
    path = OUT / f"{name}.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(f"written: {path}")
    return path
