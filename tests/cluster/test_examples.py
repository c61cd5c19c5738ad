"""The examples of the chart, installed by one command each in a real control plane that takes only pods of the restricted kind."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import CHART, GPU_NODE, Install

pytestmark = pytest.mark.slow
EXAMPLES = ("minimal", "small", "production", "gpu")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_installed_and_uninstalled(prepared: Install, example: str) -> None:
    release = prepared(f"example-{example}", CHART / "examples" / f"{example}.yaml")
    before = release.everything()
    done = release.apply("install")
    assert done.returncode == 0, done.stderr
    assert release.is_ready()
    nodes = {pod["spec"]["nodeName"] for pod in release.list("pods")}
    assert (GPU_NODE in nodes) == (example == "gpu")
    done = release.helm("uninstall", "voxrelay", "--wait", "--timeout=300s")
    assert done.returncode == 0, done.stderr
    release.ends_as(before)
