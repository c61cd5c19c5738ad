"""The alerts' unit tests, by promtool itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from local_services.obtaining import prometheus_programs

ALERTS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


@pytest.mark.services
def test_promtool_finds_the_alerts_sound_and_their_tests_true(kafka_bootstrap: str) -> None:
    promtool = prometheus_programs(print) / "promtool"
    for arguments in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = subprocess.run([promtool, *arguments], cwd=ALERTS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
