"""What came out, for people and for programs: a table, JSON, plots, and a page with the alignments."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evaluation.run import PERCENTILES, Result
from evaluation.significance import Comparison, compare
from evaluation.task import Task, rate_of

LIBRARIES = ("numpy", "onnxruntime", "pocketsphinx", "jiwer", "pyannote.metrics", "pystoi", "pesq", "scipy", "scikit-learn")
MOST_DETAILS = 500  # recordings whose alignments the page shows


class Report:
    """The results of one run. ``comparisons`` are of every system with the first that is no baseline, by its name."""

    def __init__(self, task: Task, results: Sequence[Result], data: str, session: Mapping[str, Any]) -> None:
        self.task, self.results, self.data, self.session = task, list(results), data, dict(session)
        self.comparisons = {one.name: found for one in results[1:] if (found := self._compared(results[0], one)) is not None}

    def _compared(self, first: Result, other: Result) -> Comparison | None:
        columns = [[(score.amount, score.weight) for score in result.scores] for result in (first, other)]
        return compare(columns[0], columns[1], is_higher_better=self.task.is_higher_better)

    # --- tables ----------------------------------------------------------------------------------------------------------------

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows: a system a row."""
        named = list(dict.fromkeys(name for result in self.results for name in result.summary))
        latency = [f"latency p{percent}" for percent in PERCENTILES] if any(result.timing for result in self.results) else []
        heads = ["system", "recordings", self.task.measure, *named, "RTF", "RTF, engine", *latency]
        return heads, [self._row(result, named, bool(latency)) for result in self.results]

    def _row(self, result: Result, named: Sequence[str], has_latency: bool) -> list[str]:
        timing = result.timing
        row = [result.name, str(len(result.scores)), shown(result.rate), *(shown(result.summary.get(name)) for name in named)]
        row += [shown(timing.rtf), shown(timing.engine_rtf)] if timing else ["", ""]
        if has_latency:
            found = [timing.percentile_s(percent) if timing else None for percent in PERCENTILES]
            row += [f"{value * 1000:.0f} ms" if value is not None else "" for value in found]
        return row

    def group_table(self) -> tuple[list[str], list[list[str]]]:
        """The measure by group; empty where there is one group."""
        groups = list(dict.fromkeys(score.item.group for score in self.results[0].scores))
        counted = [group for group in groups if any(rate_of(result.by_group()[group]) is not None for result in self.results)]
        if len(counted) < 2:
            return [], []
        heads = ["group", "recordings", *(result.name for result in self.results)]
        rows = []
        for group in counted:
            of = [result.by_group()[group] for result in self.results]
            rows.append([group or "(none)", str(len(of[0])), *(shown(rate_of(scores)) for scores in of)])
        return heads, rows

    def comparison_table(self) -> tuple[list[str], list[list[str]]]:
        heads = [f"against {self.results[0].name}", "difference", "95 % interval", "Wilcoxon p", "better, worse recordings", "significant"]
        rows = []
        for name, one in self.comparisons.items():
            interval = f"{one.low:+.4f} to {one.high:+.4f}"
            p_value = f"{one.p_value:.2g}" if one.p_value is not None else "too few differ"
            rows.append([name, f"{one.difference:+.4f}", interval, p_value, f"{one.better}, {one.worse}", "yes" if one.is_significant else "no"])
        return (heads, rows) if rows else ([], [])

    # --- files -----------------------------------------------------------------------------------------------------------------

    def write(self, folder: Path) -> list[Path]:
        """JSON, page and, where matplotlib is installed, plots. Raises ``OSError``."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "results.json"]
        written[0].write_text(json.dumps(self.as_data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        plots = _plot(self, folder)
        written += plots
        written.append(folder / "report.md")
        written[-1].write_text(self.page(plots), encoding="utf-8")
        return written

    def as_data(self) -> dict[str, Any]:
        return {
            "task": self.task.name,
            "measure": self.task.measure,
            "data": self.data,
            "session": self.session,
            "machine": machine(),
            "notes": self.task.notes(),
            "tables": [list(table) for table in (self.table(), self.group_table(), self.comparison_table()) if table[1]],
            "systems": [_system_data(result) for result in self.results],
            "comparisons": [{"first": self.results[0].name, "second": name, **_plain(one)} for name, one in self.comparisons.items()],
        }

    def page(self, plots: Sequence[Path] = ()) -> str:
        about = machine()
        asked = ", ".join(f"{name}={value}" for name, value in self.session.items()) or "nothing in particular"
        parts = [
            f"# Evaluation: {self.task.name}",
            f"{about['date']}, {about['processor']}, {about['cores']} cores, Python {about['python']}. Sessions asked for {asked}. "
            "RTF: time of one session alone by the length of its audio; "
            + f"latency: {next((result.timing.latency_of for result in self.results if result.timing), '')}, audio as fast as it is taken.",
            markdown(*self.table()),
        ]
        for title, table in (("By group", self.group_table()), ("Against each other", self.comparison_table())):
            if table[1]:
                parts += [f"## {title}", markdown(*table)]
        if self.comparisons:
            parts.append(
                "Interval: paired bootstrap over recordings (Bisani and Ney, 2004). p: Wilcoxon's signed-rank test on the recordings' rates."
            )
        parts += [f"![{plot.stem}]({plot.name})" for plot in plots]
        parts += [f"- {note}" for note in self.task.notes()]
        parts += self._details()
        return "\n\n".join(parts) + "\n"

    def _details(self) -> list[str]:
        shown_of = [result for result in self.results if any(score.detail for score in result.scores)]
        parts = []
        for number, score in enumerate(shown_of[0].scores[:MOST_DETAILS] if shown_of else ()):
            blocks = [f"{result.name}\n{result.scores[number].detail}" for result in shown_of if result.scores[number].detail]
            if blocks:
                text = "\n\n".join(blocks).replace("```", "'''")
                parts.append(f"### {score.item.name}\n\n```\n{text}\n```")
        return ["## Recording by recording", *parts] if parts else []


def _system_data(result: Result) -> dict[str, Any]:
    timing = result.timing
    data: dict[str, Any] = {
        "name": result.name,
        "engines": {stage: f"{engine.name} {engine.version} {engine.model_digest}".rstrip() for stage, engine in result.engines.items()},
        "rate": result.rate,
        "summary": result.summary,
        "groups": {group: {"recordings": len(scores), "rate": rate_of(scores)} for group, scores in result.by_group().items()},
    }
    if timing is not None:
        latency = {f"p{percent}": timing.percentile_s(percent) for percent in PERCENTILES}
        data["timing"] = {
            "audio_s": timing.audio_s,
            "rtf": timing.rtf,
            "engine_rtf": timing.engine_rtf,
            "latency_of": timing.latency_of,
            "latency_s": latency,
        }
    data["recordings"] = [
        {"name": score.item.name, "group": score.item.group, "amount": score.amount, "weight": score.weight, **dict(score.figures)}
        for score in result.scores
    ]
    return data


def _plain(one: Comparison) -> dict[str, Any]:
    return {
        "difference": one.difference,
        "interval": [one.low, one.high],
        "wilcoxon_p": one.p_value,
        "recordings": one.recordings,
        "better": one.better,
        "worse": one.worse,
        "is_significant": one.is_significant,
    }


def shown(value: float | None) -> str:
    """Three digits behind the point for shares, one for what is larger than ten."""
    if value is None:
        return ""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    libraries = {}
    for name in LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": libraries,
    }


def _plot(report: Report, folder: Path) -> list[Path]:
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return []
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(13, 5))
    _draw_rates(rates, report)
    for result in report.results:
        if result.timing is not None and result.timing.latency_s:
            ordered = sorted(result.timing.latency_s)
            latencies.plot([at / len(ordered) * 100 for at in range(len(ordered))], [value * 1000 for value in ordered], label=result.name)
    latencies.set_yscale("log")
    latencies.set_xlabel("% within")
    latencies.set_ylabel("latency (ms)")
    latencies.legend(fontsize=8)
    figure.tight_layout()
    path = folder / "results.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return [path]


def _draw_rates(axes: Any, report: Report) -> None:
    groups = list(dict.fromkeys(score.item.group for score in report.results[0].scores if score.weight))
    height = 0.8 / len(report.results)
    for number, result in enumerate(report.results):
        of = result.by_group()
        values = [rate_of(of[group]) or 0.0 for group in groups]
        axes.barh([place + number * height for place in range(len(groups))], values, height, label=result.name)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(groups))], groups, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(report.task.measure)
    axes.legend(fontsize=8)
