"""The life of a release in a real control plane, in the order of these tests: nothing is executed in the pods, everything else is real."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import GPU_NODE, NODES, Cluster

pytestmark = pytest.mark.slow
LIVE = ("denoise", "diarize", "classify", "synth", "projector")


def _event_revisions(cluster: Cluster, kind: str, reason: str) -> dict[str, int]:
    """Object to the revision of the cluster at which this first happened to it: revisions order what happened, clocks do not."""
    revisions: dict[str, int] = {}
    for event in cluster.list("events"):
        if (event["involvedObject"]["kind"], event["reason"]) == (kind, reason):
            name, revision = event["involvedObject"]["name"], int(event["metadata"]["resourceVersion"])
            revisions[name] = min(revision, revisions.get(name, revision))
    return revisions


def test_values_that_the_schema_refuses_install_nothing(cluster: Cluster) -> None:
    done = cluster.apply("install", "kafka.partitions=many")
    assert done.returncode != 0
    assert "/kafka/partitions" in done.stderr
    assert cluster.list("deployments") == []


def test_one_command_installs_all_of_it(cluster: Cluster) -> None:
    done = cluster.apply("install")
    assert done.returncode == 0, done.stderr
    deployments = {thing["metadata"]["name"]: thing for thing in cluster.list("deployments")}
    assert len(deployments) == 12
    for name, thing in deployments.items():
        assert cluster.available(name) == thing["spec"]["replicas"], name
    assert cluster.list("jobs") == []


def test_the_jobs_ran_one_after_the_other_before_any_service(cluster: Cluster) -> None:
    names = ("voxrelay-topics", "voxrelay-database", "voxrelay-first-key")
    begun, ended = _event_revisions(cluster, "Job", "SuccessfulCreate"), _event_revisions(cluster, "Job", "Completed")
    times = [revision for name in names for revision in (begun[name], ended[name])]
    services = _event_revisions(cluster, "Deployment", "ScalingReplicaSet")
    assert len(services) == 12
    assert times == sorted(times)
    assert times[-1] < min(services.values())


def test_pods_with_gpus_are_where_gpus_are_and_no_others_are(cluster: Cluster) -> None:
    with_gpus = {pod["spec"]["nodeName"] for pod in cluster.pods_of("voxrelay-transcribe-live")}
    assert with_gpus == {GPU_NODE}
    others = {pod["spec"]["nodeName"] for pod in cluster.list("pods") if "nvidia.com/gpu" not in pod["spec"]["containers"][0]["resources"]["limits"]}
    assert others <= NODES.keys()


def test_a_pod_more_than_there_are_gpus_waits_and_takes_no_other_place(cluster: Cluster) -> None:
    cluster.scale("voxrelay-transcribe-live", 5)
    cluster.until(lambda: cluster.available("voxrelay-transcribe-live") == 4, "four pods on four GPUs")
    nodes = [pod["spec"].get("nodeName") for pod in cluster.pods_of("voxrelay-transcribe-live")]
    assert (nodes.count(GPU_NODE), nodes.count(None)) == (4, 1)
    cluster.scale("voxrelay-transcribe-live", 2)
    cluster.until(lambda: len(cluster.pods_of("voxrelay-transcribe-live")) == 2, "two pods again")


def test_replicas_are_spread_over_zones_and_nodes(cluster: Cluster) -> None:
    for service in LIVE:
        nodes = [pod["spec"]["nodeName"] for pod in cluster.pods_of(f"voxrelay-{service}-live")]
        assert len(set(nodes)) == 3, service
        assert {NODES[node] for node in nodes} == {"a", "b", "c"}, service


def test_evictions_are_held_back_by_the_budget(cluster: Cluster) -> None:
    """No node takes new pods meanwhile, so that the first pod to go is not replaced before the second is asked to."""
    unschedulable = [{"spec": {"unschedulable": value}} for value in (True, False)]
    for node in NODES:
        assert cluster.request("PATCH", f"/api/v1/nodes/{node}", unschedulable[0], "application/merge-patch+json")[0] == 200
    try:
        names = [pod["metadata"]["name"] for pod in cluster.pods_of("voxrelay-denoise-live")]
        bodies = [{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": cluster.namespace}} for name in names]
        answers = [cluster.request("POST", cluster.path("pods", f"{name}/eviction"), body) for name, body in zip(names, bodies, strict=True)]
        assert [status for status, _ in answers] == [201, 429, 429]
        assert "disruption budget" in answers[1][1]["message"]
        cluster.until(lambda: cluster.available("voxrelay-denoise-live") == 2, "one pod is gone")
    finally:
        for node in NODES:
            cluster.request("PATCH", f"/api/v1/nodes/{node}", unschedulable[1], "application/merge-patch+json")
    cluster.until(lambda: cluster.available("voxrelay-denoise-live") == 3, "its replacement")


def test_an_upgrade_replaces_every_pod(cluster: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.list("pods")}
    done = cluster.apply("upgrade", "defaults.env.VOXRELAY_LOG_LEVEL=debug")
    assert done.returncode == 0, done.stderr
    cluster.until(lambda: not {pod["metadata"]["uid"] for pod in cluster.list("pods")} & before, "all pods are new")
    assert cluster.list("jobs") == []


def test_an_upgrade_that_fails_takes_nothing_away_and_is_rolled_back(cluster: Cluster) -> None:
    wanted = {thing["metadata"]["name"]: thing["spec"]["replicas"] for thing in cluster.list("deployments")}
    done = cluster.apply("upgrade", "defaults.resources.requests.cpu=1000", "defaults.resources.limits.cpu=1000", wait_s=20)
    assert done.returncode != 0
    assert {name: cluster.available(name) for name in wanted} == wanted
    assert "failed" in cluster.helm("history", "voxrelay").stdout
    done = cluster.helm("rollback", "voxrelay", "2", "--wait", "--timeout=300s")
    assert done.returncode == 0, done.stderr
    cluster.until(lambda: all(len(cluster.pods_of(name)) == count for name, count in wanted.items()), "no pod of the failed upgrade is left")
    container = cluster.get("deployments", "voxrelay-denoise-live")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "VOXRELAY_LOG_LEVEL", "value": "debug"} in container["env"]


def test_what_the_autoscaler_set_stays_set(cluster: Cluster) -> None:
    """KEDA's own work is not tried here: its objects are taken by the API server, and Helm leaves the number of replicas alone."""
    scaling = ("autoscaling.enabled=true", "autoscaling.prometheus=http://prometheus:9090")
    assert cluster.apply("upgrade", *scaling).returncode == 0
    assert len(cluster.list("scaledobjects")) == 12
    for replicas in (5, 4):
        cluster.scale("voxrelay-diarize-live", replicas)
        cluster.until(lambda count=replicas: cluster.available("voxrelay-diarize-live") == count, "scaled")  # type: ignore[misc]
    done = cluster.apply("upgrade", *scaling, "defaults.env.VOXRELAY_LOG_LEVEL=info")
    assert done.returncode == 0, done.stderr
    assert cluster.get("deployments", "voxrelay-diarize-live")["spec"]["replicas"] == 4


def test_an_uninstallation_leaves_nothing(cluster: Cluster) -> None:
    done = cluster.helm("uninstall", "voxrelay", "--wait", "--timeout=300s")
    assert done.returncode == 0, done.stderr
    kinds = ("deployments", "pods", "services", "jobs", "poddisruptionbudgets", "networkpolicies", "scaledobjects")
    for kind in kinds:
        cluster.until(lambda of=kind: cluster.list(of) == [], f"no {kind} are left")  # type: ignore[misc]
    assert {account["metadata"]["name"] for account in cluster.list("serviceaccounts")} == {"default"}
    assert {secret["metadata"]["name"] for secret in cluster.list("secrets")} == {"voxrelay"}
