"""Getting the programs and schemas: built with Go from its module proxy, or read out of Go modules and one wheel; all versions pinned here.

What is built lies in the user's cache folder under a name that changes with its version and is put there in one step when it is complete.
Times are of two busy cores with an empty Go cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from local_services.obtaining import Report, cache_folder, process_environment, required_program, run_step
from local_services.processes import ServiceError
from local_services.state import exclusively

HELM = "v3.22.0"
KUBERNETES, SIBLINGS = "v1.34.1", "v0.34.1"
KWOK = "v0.7.0"
BUILDKIT = "v0.30.0"
LINTER_SOURCE = Path(__file__).resolve().parent.parent / "dockerfile_lint" / "main.go"
# The versions charts are validated against: the oldest the chart takes, the one of the control plane, the newest.
SCHEMA_VERSIONS = ("1.32.0", "1.34.0", "1.37.0")
SCHEMA_WHEEL = "kubernetes-validate==1.37.0"
PROMETHEUS_OPERATOR = ("github.com/prometheus-operator/prometheus-operator", "v0.85.0")
# Go module, version, and the files in it that define what the chart may make.
DEFINITIONS = (
    ("github.com/kedacore/keda/v2", "v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    ("sigs.k8s.io/gateway-api", "v1.4.0", "config/crd/standard/gateway.networking.k8s.io_gateways.yaml"),
    ("sigs.k8s.io/gateway-api", "v1.4.0", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    ("sigs.k8s.io/gateway-api", "v1.4.0", "config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml"),
    (*PROMETHEUS_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    (*PROMETHEUS_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
)
COMPOSE_SPECIFICATION = ("github.com/compose-spec/compose-go/v2", "v2.16.2", "schema/compose-spec.json")

# k8s.io/kubernetes pins its sibling modules at v0.0.0, so a small module of our own replaces them with their published versions.
SIBLING_MODULES = (
    *("api", "apiextensions-apiserver", "apimachinery", "apiserver", "cli-runtime", "client-go", "cloud-provider", "cluster-bootstrap"),
    *("code-generator", "component-base", "component-helpers", "controller-manager", "cri-api", "cri-client", "csi-translation-lib"),
    *("dynamic-resource-allocation", "endpointslice", "externaljwt", "kms", "kube-aggregator", "kube-controller-manager", "kube-proxy"),
    *("kube-scheduler", "kubectl", "kubelet", "metrics", "mount-utils", "pod-security-admission", "sample-apiserver"),
)
# What the API server says it is; without it, it says v0.0.0 and charts that ask for a version refuse it.
VERSION_TOLD = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
PROGRAMS = {
    "kube-apiserver": "NewAPIServerCommand",
    "kube-controller-manager": "NewControllerManagerCommand",
    "kube-scheduler": "NewSchedulerCommand",
}
PROGRAM_SOURCE = """package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/%s/app"
)

func main() { os.Exit(cli.Run(app.%s())) }
"""
ETCD_SOURCE = """package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
"""
GO_REMEDY = "Check that Go (1.25 or later) reaches its module proxy (go env GOPROXY), then run it again."


def helm(report: Report) -> Path:
    """The program `helm`; about 4 minutes to build."""

    def build(folder: Path) -> None:
        _go(["install", "-trimpath", "-ldflags=-s -w", f"helm.sh/helm/v3/cmd/helm@{HELM}"], folder, GOBIN=str(folder))

    return _cached("helm", "building Helm with Go (first time only, about 4 minutes)", build, report) / "helm"


def control_plane(report: Report) -> Path:
    """The folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok; about 20 minutes to build."""
    return _cached("control-plane", "building the control plane with Go (first time only, about 20 minutes)", _build_control_plane, report)


def dockerfile_lint(report: Report) -> Path:
    """The program that says what BuildKit finds in a Dockerfile; about 2 minutes to build."""

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="dockerfile-lint-source-") as scratch:
            source = Path(scratch)
            (source / "go.mod").write_text(f"module dockerfilelint\n\ngo 1.25\n\nrequire github.com/moby/buildkit {BUILDKIT}\n")
            shutil.copy(LINTER_SOURCE, source)
            _go(["mod", "tidy"], source)
            _go(["build", "-trimpath", "-ldflags=-s -w", "-o", str(folder / "dockerfile_lint"), "."], source)

    return _cached("dockerfile-lint", "building the Dockerfile linter with Go (first time only, about 2 minutes)", build, report) / "dockerfile_lint"


def schemas(report: Report) -> Path:
    """A folder with `v<version>/<kind>.json` for each of SCHEMA_VERSIONS, strict; seconds."""
    return _cached("kubernetes-schemas", "fetching the Kubernetes schemas (22 MB)", _unpack_schemas, report)


def definitions(report: Report) -> Path:
    """A folder with the custom resource definitions the chart's objects need, as YAML; seconds."""
    return _cached("definitions", "fetching custom resource definitions", _copy_definitions, report)


def compose_schema(report: Report) -> Path:
    """The folder with compose-spec.json, the schema of Compose files; seconds."""

    def copy(folder: Path) -> None:
        module, version, path = COMPOSE_SPECIFICATION
        shutil.copy(_module(module, version) / path, folder)

    return _cached("compose-spec", "fetching the Compose schema", copy, report)


def missing(*needed: str) -> list[str]:
    """Those of these that `scripts/chart_tools` would have to build or fetch, for tests that do not want to wait for it."""
    return [name for name in needed if not (cache_folder() / _names()[name]).exists()]


def _names() -> dict[str, str]:
    """The folders in the cache, which say what is in them by version."""
    return {
        "helm": f"helm-{HELM}",
        "control-plane": f"control-plane-{KUBERNETES}",
        "kubernetes-schemas": f"kubernetes-schemas-{'-'.join(SCHEMA_VERSIONS)}",
        "definitions": f"definitions-{'-'.join(dict.fromkeys(version for _, version, _ in DEFINITIONS))}",
        "dockerfile-lint": f"dockerfile-lint-{BUILDKIT}-{hashlib.sha256(LINTER_SOURCE.read_bytes()).hexdigest()[:8]}",
        "compose-spec": f"compose-spec-{COMPOSE_SPECIFICATION[1]}",
    }


def _cached(name: str, doing: str, make: Callable[[Path], None], report: Report) -> Path:
    folder = cache_folder() / _names()[name]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(cache_folder() / f"{name}.lock"):
        if not folder.exists():
            report(doing)
            with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f"{name}-partial-") as partial:
                made = Path(partial) / "made"
                made.mkdir()
                make(made)
                made.rename(folder)
    return folder


def _go(arguments: list[str], folder: Path, **environment: str) -> None:
    go = required_program("go", "Helm, the linter and the control plane are built with Go 1.25 or later: install it, and put it on PATH.")
    log = cache_folder() / "go-build.log"
    run_step([go, *arguments], folder, log, process_environment(CGO_ENABLED="0", GOFLAGS="-mod=mod", **environment), GO_REMEDY)


def _build_control_plane(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="control-plane-source-") as scratch:
        source = Path(scratch)
        (source / "go.mod").write_text("module controlplane\n\ngo 1.24\n")
        replacements = [f"-replace=k8s.io/{module}=k8s.io/{module}@{SIBLINGS}" for module in SIBLING_MODULES]
        _go(["mod", "edit", f"-require=k8s.io/kubernetes@{KUBERNETES}", *replacements], source)
        sources = {name: PROGRAM_SOURCE % (name, command) for name, command in PROGRAMS.items()} | {"etcd": ETCD_SOURCE}
        for name, text in sources.items():
            (source / "cmd" / name).mkdir(parents=True)
            (source / "cmd" / name / "main.go").write_text(text)
        _go(["mod", "tidy"], source)
        flags = " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in VERSION_TOLD.items())])
        for name in sources:
            _go(["build", "-trimpath", f"-ldflags={flags}", "-o", str(folder), f"./cmd/{name}"], source)
    _go(["install", "-trimpath", "-ldflags=-s -w", f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}"], folder, GOBIN=str(folder))


def _unpack_schemas(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), SCHEMA_WHEEL]
    run_step(command, folder, cache_folder() / "schemas.log", process_environment(), "Check that pip reaches its package index, then run it again.")
    (wheel_path,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel_path) as wheel:
        for version in SCHEMA_VERSIONS:
            (folder / f"v{version}").mkdir()
            inside = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
            for name in wheel.namelist():
                if name.startswith(inside):
                    (folder / f"v{version}" / Path(name).name).write_bytes(wheel.read(name))
    wheel_path.unlink()


def _copy_definitions(folder: Path) -> None:
    for module, version, path in DEFINITIONS:
        shutil.copyfile(_module(module, version) / path, folder / Path(path).name)


def _module(module: str, version: str) -> Path:
    """The folder of a Go module's source, fetched where the module cache has none."""
    go = required_program("go", "Definitions and schemas come out of Go modules: install Go 1.25 or later, and put it on PATH.")
    command = [go, "mod", "download", "-json", f"{module}@{version}"]
    done = subprocess.run(command, env=dict(process_environment()), cwd=os.sep, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.stdout else {}
    if "Dir" not in found:
        raise ServiceError(f"{module}@{version} could not be fetched: {found.get('Error', done.stderr)}\n{GO_REMEDY}")
    return Path(found["Dir"])
