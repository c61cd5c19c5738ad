"""Makes deploy/grafana/*.json from deploy/grafana/dashboards.yaml: `make fmt` runs it, a test compares. With ``--check`` it only compares."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "grafana"
SOURCE = FOLDER / "dashboards.yaml"
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """``queries``: expression by legend."""

    dashboard: str
    title: str
    kind: str
    unit: str
    queries: dict[str, str]


def sources() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return loaded


def panels_of(dashboard: dict[str, Any]) -> list[Panel]:
    return [_panel(dashboard, panel) for row in dashboard["rows"] for panel in row["panels"]]


def _panel(dashboard: dict[str, Any], panel: dict[str, Any]) -> Panel:
    return Panel(dashboard["name"], panel["title"], panel.get("kind", "timeseries"), panel["unit"], panel["queries"])


def _target(letter: str, legend: str, expression: str, *, is_instant: bool) -> dict[str, Any]:
    target = {"refId": letter, "datasource": DATASOURCE, "expr": expression, "legendFormat": legend or "__auto", "instant": is_instant}
    return target | {"range": not is_instant} | ({"format": "table"} if is_instant else {})


def _drawn(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    is_table = panel.kind == "table"
    targets = [_target(chr(ord("A") + at), legend, query, is_instant=is_table) for at, (legend, query) in enumerate(panel.queries.items())]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "spanNulls": True}
    drawn = {"id": number, "type": panel.kind, "title": panel.title, "datasource": DATASOURCE, "gridPos": place, "targets": targets}
    return drawn | {"fieldConfig": {"defaults": defaults, "overrides": []}, "options": {}}


def _variable(name: str, query: str) -> dict[str, Any]:
    choice = {"name": name, "type": "query", "datasource": DATASOURCE, "query": query, "definition": query, "refresh": 2}
    return choice | {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


def made(dashboard: dict[str, Any]) -> str:
    drawn: list[dict[str, Any]] = []
    top = 0
    for row in dashboard["rows"]:
        drawn.append({"id": len(drawn) + 1, "type": "row", "title": row["title"], "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top}, "panels": []})
        top += 1
        panels = [_panel(dashboard, panel) for panel in row["panels"]]
        width = WIDTH // len(panels)
        height = STAT_HEIGHT if all(panel.kind == "stat" for panel in panels) else HEIGHT
        for at, panel in enumerate(panels):
            drawn.append(_drawn(len(drawn) + 1, panel, {"h": height, "w": width, "x": at * width, "y": top}))
        top += height
    choice = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    whole = {
        "uid": f"voxrelay-{dashboard['name']}",
        "title": dashboard["title"],
        "description": dashboard["about"],
        "tags": ["voxrelay"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [choice, *(_variable(*item) for item in dashboard.get("variables", {}).items())]},
        "links": [{"type": "dashboards", "title": "Voxrelay", "tags": ["voxrelay"], "asDropdown": True, "keepTime": True}],
        "panels": drawn,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    wanted = {FOLDER / f"{dashboard['name']}.json": made(dashboard) for dashboard in sources()}
    stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    stale += [path.name for path in FOLDER.glob("*.json") if path not in wanted]
    if is_check:
        print(f"Not as dashboards.yaml says: {', '.join(stale)}; run 'make fmt'." if stale else "The dashboards are as dashboards.yaml says.")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
