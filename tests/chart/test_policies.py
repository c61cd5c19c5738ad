"""What holds for every pod of every example: no root, nothing to write, limits, a fixed version, no token, no more secrets than needed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.gateway.settings import GatewaySettings
from tests.chart.conftest import EXAMPLES, Render
from voxrelay.settings import PlatformSettings
from voxrelay.storage.retention import RetentionSettings

pytestmark = pytest.mark.parametrize("example", EXAMPLES)
SERVICES = ("gateway", "denoise", "diarize", "transcribe", "classify", "synth", "projector")


def test_nothing_runs_as_root_or_writes_but_to_its_own_folder(render: Render, example: str) -> None:
    pods = render(example).pods()
    assert len(pods) >= len(SERVICES) + 3
    for name, pod in pods:
        assert (
            pod["securityContext"] | {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
            == pod["securityContext"]
        ), name
        for container in pod["containers"]:
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == wanted, name
            writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert writable == ["/tmp"], name
        assert "hostPath" not in str(pod), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name


def test_everything_has_requests_and_limits(render: Render, example: str) -> None:
    for name, pod in render(example).pods():
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], name


def test_every_image_has_a_version(render: Render, example: str) -> None:
    for name, pod in render(example).pods():
        for container in pod["containers"]:
            assert re.fullmatch(r"[^:@]+:(?!latest$)[A-Za-z0-9_][A-Za-z0-9._-]*", container["image"]), name


def test_no_pod_has_a_token_of_the_api_or_the_addresses_of_other_services(render: Render, example: str) -> None:
    """Kubernetes would set VOXRELAY_GATEWAY_PORT=tcp://… for the Service voxrelay-gateway, and the gateway would not start."""
    for name, pod in render(example).pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
    assert all(account["automountServiceAccountToken"] is False for account in render(example).all("ServiceAccount"))
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & {thing["kind"] for thing in render(example).objects}


def test_secrets_are_named_and_never_written(render: Render, example: str) -> None:
    rendered = render(example)
    assert rendered.all("Secret") == []
    for deployment in rendered.all("Deployment"):
        service = deployment["metadata"]["labels"]["app.kubernetes.io/component"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        secret = {variable["name"] for variable in container["env"] if "secretKeyRef" in variable.get("valueFrom", {})}
        has_keys = example in ("minimal", "small")
        wanted = {
            "gateway": {"VOXRELAY_DATABASE_URL"},
            "projector": {"VOXRELAY_DATABASE_URL", *(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if has_keys else ())},
        }
        assert secret == wanted.get(service, set()), service


def test_every_variable_is_a_setting(render: Render, example: str) -> None:
    """A misspelt one would be ignored."""
    known = {f"VOXRELAY_{name.upper()}" for name in PlatformSettings.model_fields}
    known |= {f"VOXRELAY_GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields}
    known |= {"VOXRELAY_DENOISE_ENGINE", "VOXRELAY_TRANSCRIBE_WORKERS", "VOXRELAY_TRANSCRIBE_ENGINE", "VOXRELAY_API_KEY"}
    known |= {f"VOXRELAY_RETENTION_{name.upper()}" for name in RetentionSettings.model_fields}
    for name, pod in render(example).pods():
        for container in pod["containers"]:
            used = {variable["name"] for variable in container["env"] if not variable["name"].startswith("AWS_")}
            assert used <= known, name


def test_probes_ask_for_what_the_services_answer(render: Render, example: str) -> None:
    for deployment in render(example).all("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        environment: dict[str, Any] = {variable["name"]: variable.get("value") for variable in container["env"]}
        is_gateway = container["name"] == "gateway"
        assert ports["http" if is_gateway else "metrics"] == int(environment["VOXRELAY_GATEWAY_PORT" if is_gateway else "VOXRELAY_METRICS_PORT"])
        assert ports["grpc"] == int(environment["VOXRELAY_GATEWAY_GRPC_PORT" if is_gateway else "VOXRELAY_GRPC_PORT"])
        for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
            asked = container[probe]["httpGet"]
            assert (asked["path"], asked["port"]) == (path, "http" if is_gateway else "metrics")


def test_every_service_port_leads_to_a_port_of_its_pods(render: Render, example: str) -> None:
    rendered = render(example)
    for service in rendered.all("Service"):
        selected = [
            deployment
            for deployment in rendered.all("Deployment")
            if service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert selected, service["metadata"]["name"]
        for deployment in selected:
            names = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_budgets_and_spreading_select_the_pods_of_one_deployment(render: Render, example: str) -> None:
    rendered = render(example)
    labels = {thing["metadata"]["name"]: thing["spec"]["template"]["metadata"]["labels"] for thing in rendered.all("Deployment")}

    def selected(selector: dict[str, str]) -> list[str]:
        return [name for name, of_pod in labels.items() if selector.items() <= of_pod.items()]

    for budget in rendered.all("PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]["matchLabels"]) == [budget["metadata"]["name"]]
    for deployment in rendered.all("Deployment"):
        name = deployment["metadata"]["name"]
        assert selected(deployment["spec"]["selector"]["matchLabels"]) == [name]
        spreads = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [selected(spread["labelSelector"]["matchLabels"]) for spread in spreads] == [[name], [name]]
    if example != "small":
        assert {budget["metadata"]["name"] for budget in rendered.all("PodDisruptionBudget")} == labels.keys()


def test_pods_have_the_time_to_finish(render: Render, example: str) -> None:
    for deployment in render(example).all("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        if container["name"] == "gateway":
            drain_s = float(environment["VOXRELAY_GATEWAY_DRAIN_S"])
            assert drain_s >= float(environment["VOXRELAY_GATEWAY_SESSION_LIFETIME_S"])
            assert pod["terminationGracePeriodSeconds"] > drain_s + container["lifecycle"]["preStop"]["sleep"]["seconds"]
        else:
            assert pod["terminationGracePeriodSeconds"] >= 120


def test_jobs_come_in_order_before_the_services(render: Render, example: str) -> None:
    jobs = sorted(render(example).all("Job"), key=lambda job: int(job["metadata"]["annotations"]["helm.sh/hook-weight"]))
    commands = [" ".join(job["spec"]["template"]["spec"]["containers"][0]["command"]) for job in jobs]
    assert commands == ["voxrelay topics create", "voxrelay database migrate", "voxrelay keys first"]
    assert {job["metadata"]["annotations"]["helm.sh/hook"] for job in jobs} == {"pre-install,pre-upgrade"}
