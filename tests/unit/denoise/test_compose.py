"""How the service is put together, and what wrong settings get."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.denoise.compose import compose, front_end
from services.denoise.settings import DenoiseSettings
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="voxrelay models pull silero-vad"):
        compose(PlatformSettings(models=tmp_path))


@pytest.mark.parametrize(("engine", "pulled"), [("dtln", "dtln"), ("gtcrn", "gtcrn")])
def test_an_engine_without_its_weights_says_what_to_run(engine: str, pulled: str, tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match=f"voxrelay models pull {pulled}"):
        front_end(PlatformSettings(models=tmp_path), DenoiseSettings(engine=engine))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"engine": "magic"}, "choose one of deepfilternet, dtln, gtcrn, omlsa, passthrough"),
        ({"full_below_db": 30.0, "none_above_db": 10.0}, "VOXRELAY_DENOISE_FULL_BELOW_DB"),
        ({"onset": 0.3, "offset": 0.6}, "VOXRELAY_DENOISE_OFFSET"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(changes: dict[str, object], what: str, tmp_path: Path) -> None:
    settings = DenoiseSettings.model_validate(changes)
    with pytest.raises(EngineUnusable, match=what):
        front_end(PlatformSettings(models=tmp_path), settings)
