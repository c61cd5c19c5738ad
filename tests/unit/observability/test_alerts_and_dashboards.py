"""Alerts have tests, pages and metrics that exist; dashboards are what their source says, and ask for metrics that exist."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import dashboards
import metrics_page
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
TESTS = yaml.safe_load((ALERTS.parent / "alerts_test.yaml").read_text())["tests"]
METRIC = re.compile(r"\bvoxrelay_[a-z_]+\b")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
DECLARED = {
    f"{metric.name}{suffix}": set(metrics_page.labels_of(metric)) | ({"le"} if suffix == "_bucket" else set())
    for _, metrics in metrics_page.families()
    for metric in metrics
    for suffix in SUFFIXES[metric.type]
}
TARGET_LABELS = {"job", "instance"}  # what Prometheus itself adds
QUERIES = [query for dashboard in dashboards.sources() for panel in dashboards.panels_of(dashboard) for query in panel.queries.values()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_comes_and_stays_away_in_promtools_tests_and_has_a_page(rule: dict) -> None:  # type: ignore[type-arg]
    outcomes = defaultdict(set)
    for test in TESTS:
        for tried in test["alert_rule_test"]:
            outcomes[tried["alertname"]].add(bool(tried["exp_alerts"]))
    assert outcomes[rule["alert"]] == {True, False}
    page = ROOT / rule["annotations"]["runbook"]
    for part in ("# ", "**Means.**", "**Look.**", "**Do.**"):
        assert part in page.read_text()
    assert rule["alert"] in (page.parent / "README.md").read_text()
    assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_a_query_asks_for_what_is_declared(query: str) -> None:
    names = METRIC.findall(query)
    assert names or query.startswith(("sum(up", "up{"))
    assert set(names) <= DECLARED.keys()
    known = set().union(*(DECLARED[name] for name in names)) | TARGET_LABELS
    for grouping in re.findall(r"by \(([^)]*)\)", query):
        assert {label.strip() for label in grouping.split(",")} <= known
    for selector in re.findall(r"\{([^{}]*)\}", query):
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", selector)) <= known


def test_legends_name_labels_that_the_query_keeps() -> None:
    for dashboard in dashboards.sources():
        for panel in dashboards.panels_of(dashboard):
            for legend, query in panel.queries.items():
                for label in re.findall(r"\{\{(\w+)\}\}", legend):
                    assert label in re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))), f"{panel.title}: {label}"


def test_the_dashboards_are_what_their_source_says() -> None:
    for dashboard in dashboards.sources():
        path = dashboards.FOLDER / f"{dashboard['name']}.json"
        assert path.read_text() == dashboards.made(dashboard), "run 'make fmt'"
        drawn = json.loads(path.read_text())
        assert [panel["title"] for panel in drawn["panels"] if panel["type"] != "row"] == [p.title for p in dashboards.panels_of(dashboard)]
        assert len({panel["id"] for panel in drawn["panels"]}) == len(drawn["panels"])
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= dashboards.WIDTH for panel in drawn["panels"])
    assert {path.stem for path in dashboards.FOLDER.glob("*.json")} == {dashboard["name"] for dashboard in dashboards.sources()}
