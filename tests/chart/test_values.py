"""What the values change, and which of them are refused with a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from services.denoise.settings import DenoiseSettings
from services.gateway.settings import GatewaySettings
from tests.chart.conftest import CHART, Render, template
from voxrelay.process import DRAIN_S
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import DEFAULT_PARTITIONS, PROJECTOR, STAGES


def test_every_stage_of_the_topology_runs_in_each_of_its_lanes(render: Render) -> None:
    deployments = {thing["metadata"]["name"] for thing in render("minimal").all("Deployment")}
    wanted = {f"voxrelay-{stage.service}-{lane}" for stage in STAGES for lane in stage.reads.lanes}
    wanted |= {f"voxrelay-{PROJECTOR.service}-{lane}" for topic in PROJECTOR.reads for lane in topic.lanes}
    assert deployments == wanted | {"voxrelay-gateway"}


def test_each_deployment_works_on_its_own_lane(render: Render) -> None:
    for name in ("denoise", "transcribe", "projector"):
        for lane in ("live", "bulk"):
            assert json.loads(render("minimal").environment(f"voxrelay-{name}-{lane}")["VOXRELAY_LANES"]) == [lane]


def test_a_pod_takes_its_partitions_up_under_its_own_name(render: Render) -> None:
    """A container that crashed is started again in its pod: nobody has to miss it first."""
    chart = render("minimal")
    for deployment in ("gateway", "denoise-live", "projector-live"):
        assert chart.environment(f"voxrelay-{deployment}")["VOXRELAY_INSTANCE"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_services_take_what_the_chart_sets(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    """As settings check it at the start: Helm writes large numbers as 1e+06, which is no session count."""
    rendered = render("production", "services.gateway.maxSessions=100000", "services.gateway.drainSeconds=86400")
    for deployment in rendered.all("Deployment"):
        with monkeypatch.context() as variables:
            for name, value in rendered.environment(deployment["metadata"]["name"]).items():
                if isinstance(value, str):
                    variables.setenv(name, value)
            platform = load_settings(PlatformSettings)
            gateway = load_settings(GatewaySettings)
        assert platform.kafka_properties == Path("/etc/voxrelay/kafka/client.properties")
        assert platform.session_idle_s > gateway.session_lifetime_s
        if deployment["metadata"]["name"] == "voxrelay-gateway":
            assert (gateway.max_sessions, gateway.drain_s) == (100_000, 86_400)
            assert gateway.allowed_origins == ("https://app.example.org",)
        else:
            assert len(platform.lanes) == 1


def test_a_lane_that_is_null_does_not_run(render: Render) -> None:
    names = {thing["metadata"]["name"] for thing in render("minimal", "services.transcribe.lanes.bulk=null").all("Deployment")}
    assert "voxrelay-transcribe-bulk" not in names
    assert "voxrelay-transcribe-live" in names


def test_a_lane_goes_before_its_service_and_a_service_before_the_defaults(render: Render) -> None:
    changes = ("defaults.replicas=4", "services.diarize.replicas=5", "services.classify.lanes.live.replicas=6")
    rendered = render("minimal", *changes)
    replicas = {thing["metadata"]["name"]: thing["spec"]["replicas"] for thing in rendered.all("Deployment")}
    assert (replicas["voxrelay-synth-live"], replicas["voxrelay-diarize-live"], replicas["voxrelay-classify-live"]) == (4, 5, 6)


def test_the_defaults_are_what_the_platform_has() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["kafka"]["partitions"] == DEFAULT_PARTITIONS
    longest_s = DenoiseSettings().longest_s
    stages_s = 2 * DRAIN_S  # classify and projector end two runners a lane, one after the other
    assert values["defaults"]["terminationGraceSeconds"] > max(longest_s, stages_s)


def test_gpus_come_with_their_tolerations_and_nodes(render: Render) -> None:
    rendered = render("gpu")
    live, bulk = (rendered.one("Deployment", f"voxrelay-transcribe-{lane}")["spec"]["template"]["spec"] for lane in ("live", "bulk"))
    assert live["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert live["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert live["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "nvidia.com/gpu" not in bulk["containers"][0]["resources"]["limits"]
    assert not {"nodeSelector", "tolerations"} & bulk.keys()


def test_ingress_and_gateway_api_lead_to_the_gateway_and_not_to_its_metrics(render: Render) -> None:
    ingress = render("gpu").one("Ingress", "voxrelay")
    paths = {path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]}
    route = render("production").one("HTTPRoute", "voxrelay")
    matched = {match["path"]["value"] for match in route["spec"]["rules"][0]["matches"]}
    assert paths == matched
    assert "/ws" in paths
    assert not {path for path in paths if path.startswith("/metrics")}
    assert ingress["spec"]["rules"][0]["http"]["paths"][0] == {
        "path": "/",
        "pathType": "Exact",
        "backend": {"service": {"name": "voxrelay-gateway", "port": {"name": "http"}}},
    }
    (rule,) = render("production").one("GRPCRoute", "voxrelay")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "voxrelay-gateway", "port": 50051}]


def test_every_path_of_the_gateway_is_routed() -> None:
    """From the code of the protocols: a new one is not forgotten."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    routed = ["/", *values["ingress"]["paths"]]
    sources = (Path(__file__).resolve().parents[2] / "services" / "gateway" / "protocols").rglob("*.py")
    paths = {path for file in sources for path in re.findall(r"@routes\.\w+\(\s*\"(/[^\"]*)\"", file.read_text())}
    assert len(paths) > 20
    unrouted = {path for path in paths if path not in routed and not any(path.startswith((f"{each}/", f"{each}?")) for each in routed[1:])}
    # /v1/audio's routes are written relative to their prefix.
    assert unrouted - {"/speech", "/voices", "/voice_consents"} == set()


def test_autoscaling_goes_by_seconds_and_by_sessions(render: Render) -> None:
    rendered = render("production")
    assert all("replicas" not in thing["spec"] for thing in rendered.all("Deployment"))
    assert {thing["metadata"]["name"] for thing in rendered.all("ScaledObject")} == {
        thing["metadata"]["name"] for thing in rendered.all("Deployment")
    }
    lag, busy = rendered.one("ScaledObject", "voxrelay-classify-live")["spec"]["triggers"]
    assert lag["metadata"]["query"] == 'max(voxrelay_stage_lag_seconds{stage=~"classify(.text)?",lane="live",namespace="speech"})'
    assert (lag["metricType"], float(lag["metadata"]["threshold"])) == ("Value", 1)
    assert (busy["metricType"], float(busy["metadata"]["threshold"])) == ("AverageValue", 0.6)
    (sessions,) = rendered.one("ScaledObject", "voxrelay-gateway")["spec"]["triggers"]
    assert (sessions["metricType"], sessions["metadata"]["threshold"]) == ("AverageValue", "600")


def test_tls_at_the_gateway_is_asked_by_tls(render: Render) -> None:
    rendered = render("minimal", "services.gateway.tls.secret=speech-tls")
    container = rendered.container("voxrelay-gateway")
    assert {container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {"HTTPS"}
    assert rendered.environment("voxrelay-gateway")["VOXRELAY_GATEWAY_TLS_CERTIFICATE"] == "/etc/voxrelay/tls/tls.crt"
    assert rendered.container("voxrelay-denoise-live")["readinessProbe"]["httpGet"]["scheme"] == "HTTP"


def test_old_recordings_are_deleted_once_a_day_where_an_age_is_set(render: Render) -> None:
    assert render("minimal").all("CronJob") == []
    (job,) = render("minimal", "retention.textDays=90").all("CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["voxrelay", "retention", "run"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert (values["VOXRELAY_RETENTION_AUDIO_DAYS"], values["VOXRELAY_RETENTION_TEXT_DAYS"]) == ("0", "90")
    assert {"VOXRELAY_DATABASE_URL", "VOXRELAY_OBJECT_STORE_URL", "VOXRELAY_KAFKA_BOOTSTRAP", "AWS_SECRET_ACCESS_KEY"} <= values.keys()
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_two_releases_share_no_name_and_no_selector(render: Render) -> None:
    one, two = render("minimal"), render("minimal", release="other")
    assert not {(t["kind"], t["metadata"]["name"]) for t in one.objects} & {(t["kind"], t["metadata"]["name"]) for t in two.objects}
    selectors = [t["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] for t in two.all("Deployment")]
    assert set(selectors) == {"other"}


def test_the_rules_are_those_of_prometheus(render: Render) -> None:
    rules = yaml.safe_load((CHART.parents[1] / "prometheus" / "alerts.yaml").read_text())
    assert render("production").one("PrometheusRule", "voxrelay")["spec"] == rules


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("image.tag=latest", "/image/tag"),
        ("services.denoise.lanes.live.replicaz=3", "replicaz"),
        ("services.synth.lanes.bulk.replicas=1", "bulk"),
        ("services.whisper.replicas=1", "whisper"),
        ("kafka.bootstrap=kafka", "/kafka/bootstrap"),
        ("kafka.bootstrap=", "kafka.bootstrap is required"),
        ("objectStore.url=", "objectStore.url is required"),
        ("objectStore.url=file:///data", "/objectStore/url"),
        ("defaults.terminationGraceSeconds=30", "/defaults/terminationGraceSeconds"),
        ("defaults.resources.limits.memory=lots", "/defaults/resources/limits/memory"),
        ("defaults.image=registry.example.org/all:latest", "/defaults/image"),
        ("defaults.env.lower=1", "lower"),
        ("ingress.paths={/metrics}", "/ingress/paths/0"),
        ("ingress.enabled=true", "ingress.host is required"),
        ("gatewayApi.enabled=true", "gatewayApi.host is required"),
        ("autoscaling.enabled=true", "autoscaling.prometheus is required"),
        ("topologySpread.whenUnsatisfiable=Never", "/topologySpread/whenUnsatisfiable"),
    ],
)
def test_wrong_values_are_refused_with_their_place(helm: Path, change: str, reason: str) -> None:
    done = template(helm, "minimal", change)
    assert done.returncode != 0
    assert reason in done.stderr


def test_more_replicas_than_partitions_are_refused(helm: Path) -> None:
    done = template(helm, "production", "kafka.partitions=12")
    assert done.returncode != 0
    assert "maxReplicas 24 is more than kafka.partitions 12" in done.stderr
