"""The chart as Helm renders it. Tests skip where Helm and the schemas were not fetched; `make helm-test` fetches them and skips nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_cluster import obtaining

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "voxrelay"
EXAMPLES = ("minimal", "small", "production", "gpu")
NAMESPACE = "speech"

Object = dict[str, Any]


def needs(*tools: str) -> None:
    """Skips with what to run, or fails where the tests must run."""
    missing = obtaining.missing(*tools)
    if missing:
        reason = f"not fetched: {', '.join(missing)}; 'make helm-test' does"
        if os.environ.get("VOXRELAY_REQUIRE_HELM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def helm() -> Path:
    needs("helm", "kubernetes-schemas", "definitions")
    return obtaining.helm(print)


def run_helm(helm: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(helm), *arguments]
    return subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)


class Rendered:
    """The objects of a release, hooks too."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = list(objects)

    def all(self, kind: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        (found,) = (thing for thing in self.all(kind) if thing["metadata"]["name"] == name)
        return found

    def pods(self) -> list[tuple[str, Object]]:
        """Name and pod specification of everything that runs."""
        templates = [(thing, thing["spec"]["template"]) for thing in [*self.all("Deployment"), *self.all("Job")]]
        templates += [(thing, thing["spec"]["jobTemplate"]["spec"]["template"]) for thing in self.all("CronJob")]
        return [(thing["metadata"]["name"], template["spec"]) for thing, template in templates]

    def container(self, deployment: str) -> Object:
        (container,) = self.one("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return dict(container)

    def environment(self, deployment: str) -> dict[str, Any]:
        """Variable to value, or to where the value comes from."""
        return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in self.container(deployment)["env"]}


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """`render("minimal", "defaults.replicas=3", kubernetes="1.32.0")`: an example and what is set on top of it."""

    @cache
    def rendered(example: str, *changes: str, kubernetes: str = "1.34.0", release: str = "voxrelay") -> Rendered:
        done = template(helm, example, *changes, kubernetes=kubernetes, release=release)
        assert done.returncode == 0, done.stderr
        return Rendered([thing for thing in yaml.load_all(done.stdout, yaml.CSafeLoader) if thing])

    return rendered


def template(helm: Path, example: str, *changes: str, kubernetes: str = "1.34.0", release: str = "voxrelay") -> subprocess.CompletedProcess[str]:
    values = ["--values", str(CHART / "examples" / f"{example}.yaml"), *(word for change in changes for word in ("--set", change))]
    return run_helm(helm, "template", release, str(CHART), "--namespace", NAMESPACE, "--kube-version", kubernetes, *values)
