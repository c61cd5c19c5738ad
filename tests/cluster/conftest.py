"""A real control plane with pretended nodes, once for all tests of this folder; `make helm-cluster-test` runs them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_cluster import obtaining
from local_cluster.control_plane import ControlPlane

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "voxrelay"
WAIT_S = 120.0
NODES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c"}
GPU_NODE = "gpu1"


class Cluster:
    """The control plane and Helm, in one namespace."""

    def __init__(self, plane: ControlPlane, helm: Path, namespace: str) -> None:
        self._plane, self._helm, self.namespace = plane, helm, namespace
        self.request = plane.request

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._helm), *arguments, "--namespace", self.namespace]
        environment = {**os.environ, "KUBECONFIG": str(self._plane.kubeconfig)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def apply(self, action: str, *changes: str, wait_s: int = 300) -> subprocess.CompletedProcess[str]:
        """`helm install` or `helm upgrade` of the chart with these changes on top of the tests' values."""
        values = ["--values", str(Path(__file__).parent / "values.yaml"), *(word for change in changes for word in ("--set", change))]
        return self.helm(action, "voxrelay", str(CHART), *values, "--wait", f"--timeout={wait_s}s")

    def path(self, kind: str, name: str = "") -> str:
        group = {"deployments": "apis/apps/v1", "poddisruptionbudgets": "apis/policy/v1", "jobs": "apis/batch/v1"}
        group |= {"networkpolicies": "apis/networking.k8s.io/v1", "scaledobjects": "apis/keda.sh/v1alpha1"}
        return f"/{group.get(kind, 'api/v1')}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def list(self, kind: str) -> list[dict[str, Any]]:
        status, answer = self.request("GET", self.path(kind))
        assert status == 200, answer
        return list(answer["items"])

    def get(self, kind: str, name: str) -> dict[str, Any]:
        status, answer = self.request("GET", self.path(kind, name))
        assert status == 200, answer
        return dict(answer)

    def pods_of(self, deployment: str) -> list[dict[str, Any]]:
        """Those that are not on their way out."""
        selector = self.get("deployments", deployment)["spec"]["selector"]["matchLabels"]
        return [
            pod for pod in self.list("pods") if selector.items() <= pod["metadata"]["labels"].items() and "deletionTimestamp" not in pod["metadata"]
        ]

    def scale(self, deployment: str, replicas: int) -> None:
        path = self.path("deployments", f"{deployment}/scale")
        status, answer = self.request("PATCH", path, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
        assert status == 200, answer

    def until(self, fact: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not fact():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.3)

    def available(self, deployment: str) -> int:
        return int(self.get("deployments", deployment)["status"].get("availableReplicas", 0))


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if os.environ.get("VOXRELAY_REQUIRE_CLUSTER") != "1":
        pytest.skip("needs a control plane of its own; 'make helm-cluster-test' builds and runs it")
    with ControlPlane(obtaining.control_plane(print), tmp_path_factory.mktemp("plane")) as running:
        for name, zone in NODES.items():
            running.add_node(name, zone)
        running.add_node(GPU_NODE, "a", gpus=4, labels={"nvidia.com/gpu.present": "true"})
        for file in obtaining.definitions(print).glob("*.yaml"):
            definition = yaml.load(file.read_text(), yaml.SafeLoader) if "prometheus" not in file.name else None
            if definition:
                status, answer = running.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
                assert status == 201, answer
        yield running


@pytest.fixture(scope="session")
def cluster(plane: ControlPlane) -> Cluster:
    """With the namespace and the Secret an operator makes first."""
    namespace = "speech"
    assert plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})[0] == 201
    secret = {
        "metadata": {"name": "voxrelay"},
        "stringData": {"database-url": "…", "api-key": "…", "s3-access-key-id": "…", "s3-secret-access-key": "…"},
    }
    assert plane.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)[0] == 201
    return Cluster(plane, obtaining.helm(print), namespace)
