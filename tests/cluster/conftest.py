"""A real control plane with pretended nodes, once for all tests of this folder; `make helm-cluster-test` runs them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_checks import obtaining
from chart_checks.control_plane import ControlPlane
from chart_checks.validation import Loader

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "voxrelay"
VALUES = Path(__file__).parent / "values.yaml"
WAIT_S = 120.0
NODES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c"}
GPU_NODE, GPUS = "gpu1", 4
FATE = "defaults.podAnnotations.pretend"  # see scripts/chart_checks/pretended_pods.yaml
FAILING_JOBS = "services.projector.image=voxrelay/fails:1"
# Made by Kubernetes itself, and removed by it in its own time.
COMES_AND_GOES = {"Event", "Lease", "EndpointSlice", "Endpoints", "ControllerRevision"}

Object = dict[str, Any]


class Release:
    """One release in one namespace of the control plane, and Helm."""

    def __init__(self, plane: ControlPlane, helm: Path, namespace: str, values: Path) -> None:
        self._plane, self._helm, self._values, self.namespace = plane, helm, values, namespace
        self.request = plane.request

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._helm), *arguments, "--namespace", self.namespace]
        environment = {**os.environ, "KUBECONFIG": str(self._plane.kubeconfig)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def apply(self, action: str, *changes: str, wait_s: int = 300) -> subprocess.CompletedProcess[str]:
        """`helm install` or `helm upgrade` of the chart with these changes on top of its values."""
        values = ["--values", str(self._values), *(word for change in changes for word in ("--set", change))]
        return self.helm(action, "voxrelay", str(CHART), *values, "--wait", f"--timeout={wait_s}s")

    def history(self) -> list[tuple[int, str]]:
        """Revision and status, oldest first."""
        return [(entry["revision"], entry["status"]) for entry in json.loads(self.helm("history", "voxrelay", "--output=json").stdout)]

    def path(self, kind: str, name: str = "") -> str:
        group = {"deployments": "apis/apps/v1", "poddisruptionbudgets": "apis/policy/v1", "jobs": "apis/batch/v1"}
        group |= {"scaledobjects": "apis/keda.sh/v1alpha1"}
        return f"/{group.get(kind, 'api/v1')}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def list(self, kind: str) -> list[Object]:
        status, answer = self.request("GET", self.path(kind))
        assert status == 200, answer
        return list(answer["items"])

    def get(self, kind: str, name: str) -> Object:
        status, answer = self.request("GET", self.path(kind, name))
        assert status == 200, answer
        return dict(answer)

    def everything(self) -> set[tuple[str, str]]:
        """Kind and name of all there is in the namespace and beside namespaces, of every kind the API server knows."""
        groups = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in self.request("GET", "/apis")[1]["groups"])]
        found: set[tuple[str, str]] = set()
        for group in groups:
            for kind in self.request("GET", group)[1]["resources"]:
                if "list" in kind["verbs"] and kind["kind"] not in COMES_AND_GOES:
                    place = f"namespaces/{self.namespace}/" if kind["namespaced"] else ""
                    found |= {(kind["kind"], name) for name in self._names(f"{group}/{place}{kind['name']}")}
        return found

    def _names(self, path: str) -> list[str]:
        """The API server answers 429 while it makes itself ready for a kind that was just defined."""
        self.until(lambda: self.request("GET", path)[0] != 429, f"{path} is served")
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return [thing["metadata"]["name"] for thing in answer["items"]]

    def ends_as(self, before: set[tuple[str, str]]) -> None:
        """Waits until nothing is there that was not there before."""
        deadline = time.monotonic() + WAIT_S
        while left := self.everything() - before:
            assert time.monotonic() < deadline, f"left: {left}"
            time.sleep(1.0)

    def pods_of(self, deployment: str) -> list[Object]:
        """Those that are not on their way out."""
        wanted = self.get("deployments", deployment)["spec"]["selector"]["matchLabels"].items()
        return [pod for pod in self.list("pods") if wanted <= pod["metadata"]["labels"].items() and "deletionTimestamp" not in pod["metadata"]]

    def scale(self, deployment: str, replicas: int) -> None:
        path = self.path("deployments", f"{deployment}/scale")
        status, answer = self.request("PATCH", path, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
        assert status == 200, answer

    def evict(self, pod: Object) -> tuple[int, str]:
        """Status and message of asking for a pod's eviction, as draining its node does."""
        name = pod["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": self.namespace}}
        status, answer = self.request("POST", self.path("pods", f"{name}/eviction"), body)
        return status, answer.get("message", "")

    def take_new_pods(self, does: bool) -> None:
        """Whether the nodes without GPUs do."""
        for node in NODES:
            change = {"spec": {"unschedulable": not does}}
            assert self.request("PATCH", f"/api/v1/nodes/{node}", change, "application/merge-patch+json")[0] == 200

    def until(self, fact: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not fact():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.3)

    def is_ready(self) -> bool:
        """Whether every pod is that should be there, which is what Helm waits for; available, as budgets count, it is `minReadySeconds` later."""
        return all(thing["status"].get("readyReplicas", 0) >= thing["spec"]["replicas"] for thing in self.list("deployments"))

    def settle(self) -> None:
        self.until(
            lambda: all(thing["status"].get("availableReplicas", 0) == thing["spec"]["replicas"] for thing in self.list("deployments")), "available"
        )

    def available(self, deployment: str) -> int:
        return int(self.get("deployments", deployment)["status"].get("availableReplicas", 0))


Install = Callable[[str, Path], Release]


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if os.environ.get("VOXRELAY_REQUIRE_CLUSTER") != "1":
        pytest.skip("needs a control plane of its own; 'make helm-cluster-test' builds and runs it")
    with ControlPlane(obtaining.control_plane(print), tmp_path_factory.mktemp("plane")) as running:
        for name, zone in NODES.items():
            running.add_node(name, zone)
        running.add_node(GPU_NODE, "a", gpus=GPUS, labels={"nvidia.com/gpu.present": "true"})
        for file in obtaining.definitions(print).glob("*.yaml"):
            for definition in yaml.load_all(file.read_text(), Loader):  # made from the safe one
                if definition:
                    status, answer = running.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
                    assert status == 201, answer
        yield running


@pytest.fixture(scope="session")
def prepared(plane: ControlPlane) -> Install:
    """A namespace with what an operator makes first: a Secret, and a refusal of every pod that is not of the restricted kind."""

    def prepare(namespace: str, values: Path) -> Release:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        assert plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})[0] == 201
        named = ("database-url", "api-key", "s3-access-key-id", "s3-secret-access-key")
        secret = {"metadata": {"name": "voxrelay"}, "stringData": dict.fromkeys(named, "…")}
        assert plane.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)[0] == 201
        return Release(plane, obtaining.helm(print), namespace, values)

    return prepare


@pytest.fixture(scope="session")
def release(prepared: Install) -> Release:
    return prepared("speech", VALUES)
