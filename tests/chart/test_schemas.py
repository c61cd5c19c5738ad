"""Every example is lint-free and valid in three versions of Kubernetes and against the custom resource definitions; what is not is found."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest
from chart_checks import obtaining
from chart_checks.validation import Schemas

from tests.chart.conftest import CHART, EXAMPLES, Render, run_helm, template


@cache
def schemas(version: str) -> Schemas:
    return Schemas(obtaining.schemas(print) / f"v{version}", obtaining.definitions(print))


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_finds_nothing_wrong(helm: Path, example: str) -> None:
    done = run_helm(helm, "lint", str(CHART), "--strict", "--kube-version", "1.34.0", "--values", str(CHART / "examples" / f"{example}.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", obtaining.SCHEMA_VERSIONS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_object_is_valid(render: Render, example: str, version: str) -> None:
    rendered = render(example, kubernetes=version)
    assert len(rendered.objects) > 20
    assert [problem for thing in rendered.objects for problem in schemas(version).problems(thing)] == []


def test_the_chart_says_which_kubernetes_is_too_old(helm: Path) -> None:
    done = template(helm, "minimal", kubernetes="1.31.0")
    assert done.returncode != 0
    assert "1.32.0" in done.stderr


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "voxrelay-gateway", ("spec", "template", "spec", "terminationGrace"), 30),
        ("Deployment", "voxrelay-gateway", ("spec", "replicas"), "two"),
        ("ScaledObject", "voxrelay-gateway", ("spec", "maxReplicas"), 3),
        ("HTTPRoute", "voxrelay", ("spec", "hostname"), "a.example.org"),
        ("ServiceMonitor", "voxrelay", ("spec", "endpoints"), "metrics"),
    ],
)
def test_what_is_misspelt_or_of_another_type_is_found(render: Render, kind: str, name: str, path: tuple[str, ...], value: object) -> None:
    thing = copy.deepcopy(render("production").one(kind, name))
    place = thing
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(schemas("1.34.0").problems(thing)) == 1
