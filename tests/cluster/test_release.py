"""The life of a release in a real control plane, in the order of these tests: nothing is executed in the pods, everything else is real."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import FAILING_JOBS, FATE, GPU_NODE, GPUS, NODES, Release

pytestmark = pytest.mark.slow
LIVE = ("denoise", "diarize", "classify", "synth", "projector")
JOBS = ("voxrelay-topics", "voxrelay-database", "voxrelay-first-key")
DEPLOYMENTS = 12
before_installation: set[tuple[str, str]] = set()


def _event_revisions(release: Release, kind: str, reason: str) -> dict[str, int]:
    """Object to the revision of the cluster at which this first happened to it: revisions order what happened, clocks do not."""
    revisions: dict[str, int] = {}
    for event in release.list("events"):
        if (event["involvedObject"]["kind"], event["reason"]) == (kind, reason):
            name, revision = event["involvedObject"]["name"], int(event["metadata"]["resourceVersion"])
            revisions[name] = min(revision, revisions.get(name, revision))
    return revisions


def _pods(release: Release) -> set[str]:
    return {pod["metadata"]["uid"] for pod in release.list("pods") if "deletionTimestamp" not in pod["metadata"]}


def _service_pods(release: Release) -> set[str]:
    jobs = {pod["metadata"]["uid"] for pod in release.list("pods") if pod["metadata"]["ownerReferences"][0]["kind"] == "Job"}
    return _pods(release) - jobs


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("kafka.partitions=many", "/kafka/partitions"),
        ("services.transcribe.replica=3", "replica"),
        ("defaults.replicas=-1", "/defaults/replicas"),
        ("objectStore.url=voxrelay", "/objectStore/url"),
        ("topologySpread.whenUnsatisfiable=Never", "/topologySpread/whenUnsatisfiable"),
    ],
)
def test_values_that_the_schema_refuses_install_nothing(release: Release, change: str, refused: str) -> None:
    done = release.apply("install", change)
    assert done.returncode != 0
    assert refused in done.stderr
    assert release.list("deployments") == []


def test_one_command_installs_all_of_it(release: Release) -> None:
    before_installation.update(release.everything())
    done = release.apply("install")
    assert done.returncode == 0, done.stderr
    assert release.is_ready()
    assert len(release.list("deployments")) == DEPLOYMENTS
    assert release.list("jobs") == []
    release.settle()


def test_the_jobs_ran_one_after_the_other_before_any_service(release: Release) -> None:
    begun, ended = _event_revisions(release, "Job", "SuccessfulCreate"), _event_revisions(release, "Job", "Completed")
    revisions = [revision for name in JOBS for revision in (begun[name], ended[name])]
    services = _event_revisions(release, "Deployment", "ScalingReplicaSet")
    assert len(services) == DEPLOYMENTS
    assert revisions == sorted(revisions)
    assert revisions[-1] < min(services.values())


def test_pods_with_gpus_are_where_gpus_are_and_no_others_are(release: Release) -> None:
    with_gpus = {pod["spec"]["nodeName"] for pod in release.pods_of("voxrelay-transcribe-live")}
    assert with_gpus == {GPU_NODE}
    others = {pod["spec"]["nodeName"] for pod in release.list("pods") if "nvidia.com/gpu" not in pod["spec"]["containers"][0]["resources"]["limits"]}
    assert others <= NODES.keys()


def test_a_pod_more_than_there_are_gpus_waits_and_takes_no_other_place(release: Release) -> None:
    release.scale("voxrelay-transcribe-live", GPUS + 1)
    release.until(lambda: release.available("voxrelay-transcribe-live") == GPUS, "as many pods as GPUs")
    nodes = [pod["spec"].get("nodeName") for pod in release.pods_of("voxrelay-transcribe-live")]
    assert (nodes.count(GPU_NODE), nodes.count(None)) == (GPUS, 1)
    release.scale("voxrelay-transcribe-live", 2)
    release.until(lambda: len(release.pods_of("voxrelay-transcribe-live")) == 2, "two pods again")


def test_replicas_are_spread_over_zones_and_nodes(release: Release) -> None:
    for service in LIVE:
        nodes = [pod["spec"]["nodeName"] for pod in release.pods_of(f"voxrelay-{service}-live")]
        assert len(set(nodes)) == 3, service
        assert {NODES[node] for node in nodes} == {"a", "b", "c"}, service


def test_evictions_are_held_back_by_the_budget(release: Release) -> None:
    """No node takes new pods meanwhile, so that the first pod to go is not replaced before the second is asked to."""
    release.take_new_pods(False)
    try:
        answers = [release.evict(pod) for pod in release.pods_of("voxrelay-denoise-live")]
        assert [status for status, _ in answers] == [201, 429, 429]
        assert "disruption budget" in answers[1][1]
        release.until(lambda: release.available("voxrelay-denoise-live") == 2, "one pod is gone")
    finally:
        release.take_new_pods(True)
    release.until(lambda: release.available("voxrelay-denoise-live") == 3, "its replacement")
    release.until(lambda: release.evict(release.pods_of("voxrelay-denoise-live")[0])[0] == 201, "then the next may go")
    release.until(lambda: release.available("voxrelay-denoise-live") == 3, "its replacement, too")


def test_an_upgrade_replaces_every_pod(release: Release) -> None:
    before = _pods(release)
    done = release.apply("upgrade", "defaults.env.VOXRELAY_LOG_LEVEL=debug")
    assert done.returncode == 0, done.stderr
    assert release.is_ready()
    release.until(lambda: not _pods(release) & before, "all pods are new")
    assert release.list("jobs") == []


def test_a_job_that_fails_ends_the_upgrade_before_anything_is_replaced(release: Release) -> None:
    before = _service_pods(release)
    done = release.apply("upgrade", FAILING_JOBS, "prepare.attempts=0")
    assert done.returncode != 0
    assert "pre-upgrade hooks failed" in done.stderr
    assert _service_pods(release) == before
    assert [job["metadata"]["name"] for job in release.list("jobs")] == ["voxrelay-topics"], "it stays, for its log to be read"


def test_an_upgrade_that_fails_takes_nothing_away_and_is_rolled_back(release: Release) -> None:
    wanted = {thing["metadata"]["name"]: thing["spec"]["replicas"] for thing in release.list("deployments")}
    before = _service_pods(release)
    done = release.apply("upgrade", f"{FATE}=never-ready", wait_s=30)
    assert done.returncode != 0
    assert before <= _service_pods(release)
    assert {name: release.available(name) for name in wanted} == wanted
    (deployed,) = (revision for revision, status in release.history() if status == "deployed")
    done = release.helm("rollback", "voxrelay", str(deployed), "--wait", "--timeout=300s")
    assert done.returncode == 0, done.stderr
    release.until(lambda: all(len(release.pods_of(name)) == count for name, count in wanted.items()), "no pod of the failed upgrade is left")
    assert _service_pods(release) == before, "the pods that worked have worked on"


def test_what_the_autoscaler_set_stays_set(release: Release) -> None:
    """KEDA's own work is not tried here: its objects are taken by the API server, and Helm leaves the number of replicas alone."""
    scaling = ("autoscaling.enabled=true", "autoscaling.prometheus=http://prometheus:9090")
    done = release.apply("upgrade", *scaling)
    assert done.returncode == 0, done.stderr
    assert len(release.list("scaledobjects")) == DEPLOYMENTS
    for replicas in (5, 4):
        release.scale("voxrelay-diarize-live", replicas)
        release.until(lambda count=replicas: release.available("voxrelay-diarize-live") == count, "scaled")  # type: ignore[misc]
    done = release.apply("upgrade", *scaling, "defaults.env.VOXRELAY_LOG_LEVEL=info")
    assert done.returncode == 0, done.stderr
    assert release.get("deployments", "voxrelay-diarize-live")["spec"]["replicas"] == 4


def test_an_uninstallation_leaves_nothing(release: Release) -> None:
    done = release.helm("uninstall", "voxrelay", "--wait", "--timeout=300s")
    assert done.returncode == 0, done.stderr
    release.ends_as(before_installation)
