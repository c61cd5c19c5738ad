"""How the service is put together, and what wrong settings get."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.diarize.clustering import ClusterRules
from services.diarize.compose import cluster_rules, compose
from services.diarize.settings import DiarizeSettings
from services.diarize.stage import DiarizeStage
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="voxrelay models pull ge2e"):
        compose(PlatformSettings(models=tmp_path))


def test_settings_come_from_the_environment_and_default_to_the_rules_that_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_rules(DiarizeSettings()) == ClusterRules()
    monkeypatch.setenv("VOXRELAY_DIARIZE_THRESHOLD", "0.5")
    monkeypatch.setenv("VOXRELAY_DIARIZE_SHORTEST_SPEAKER_MS", "500")
    assert cluster_rules(DiarizeSettings()) == ClusterRules(0.5, 0.30, 8_000)


def test_both_lanes_get_stages_of_their_own() -> None:
    try:
        service = compose(PlatformSettings())
    except EngineUnusable as error:
        pytest.skip(str(error))
    part = service.stages[0]
    assert (service.name, part.node.name) == ("diarize", "diarize")
    live, bulk = part.make("live"), part.make("bulk")
    assert isinstance(live, DiarizeStage)
    assert live is not bulk
    assert service.add_rpc is not None
