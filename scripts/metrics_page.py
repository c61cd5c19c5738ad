"""Prints docs/operations/metrics.md from voxrelay/telemetry.py: `make fmt` writes it, a test compares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from prometheus_client import Metric

from voxrelay import telemetry
from voxrelay.footprint import Footprint

HEAD = """# Metrics

Every process answers `GET /metrics` in Prometheus's text format: the gateway on its HTTP port, the other services on `VOXRELAY_METRICS_PORT`,
`voxrelay serve` on its HTTP port for all of them. Name the scrape jobs so that `voxrelay` is in them (`voxrelay-denoise`): the alerts go by that.
Dashboards: `deploy/grafana/`. Alerts: `deploy/prometheus/alerts.yaml`, with [a page for each](runbooks/README.md). This page is made by `make fmt`
from `voxrelay/telemetry.py`.

Python's own metrics (`process_…`, `python_gc_…`) come with them.
"""
SECTION = re.compile(r"# --- (?P<question>.+) ---|^(?P<name>[A-Z_]+) = |(?P<footprint>Footprint\(\))", re.MULTILINE)


def families() -> list[tuple[str, list[Metric]]]:
    """The questions in the file's order, each with its metrics."""
    found: list[tuple[str, list[Metric]]] = []
    for match in SECTION.finditer(Path(telemetry.__file__).read_text(encoding="utf-8")):
        if match["question"]:
            found.append((match["question"][0].upper() + match["question"][1:], []))
        elif match["footprint"]:
            found[-1][1].extend(Footprint().collect())
        elif found:
            found[-1][1].extend(getattr(telemetry, match["name"]).describe())
    return found


def labels_of(family: Metric) -> tuple[str, ...]:
    """Of a metric of telemetry.py; of a collector's, what its samples have."""
    for metric in vars(telemetry).values():
        if getattr(metric, "_name", None) == family.name:
            return tuple(metric._labelnames)
    return tuple(family.samples[0].labels) if family.samples else ()


def sample_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def page() -> str:
    parts = [HEAD]
    for question, metrics in families():
        rows = [
            f"| `{sample_name(family)}` | {family.type} | {', '.join(f'`{name}`' for name in labels_of(family))} | {family.documentation} |"
            for family in metrics
        ]
        parts += [f"## {question}", "\n".join(["| metric | type | labels | what |", "|---|---|---|---|", *rows])]
    parts += [
        "## Labels",
        "Nothing a client sends becomes a label.",
        "\n".join(f"- `{name}`: {meaning}." for name, meaning in telemetry.LABELS.items()),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
