"""A wrong setting or a missing engine stops the start with a plain sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from voxrelay.engines import EngineUnusable, load
from voxrelay.settings import PlatformSettings, load_settings


def test_a_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VOXRELAY_PARTITIONS", "many")
    monkeypatch.setenv("VOXRELAY_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as stopped:
        load_settings(PlatformSettings)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "VOXRELAY_PARTITIONS" in said
    assert "'many'" in said
    assert "VOXRELAY_LOG_LEVEL" in said


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(EngineUnusable, match="choose one of good"):
        load("denoise", {"good": "module:Class"}, "better")


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(EngineUnusable, match=r"pip install 'voxrelay\[denoise\]'"):
        load("denoise", {"fancy": "no_such_library_anywhere:Class"}, "fancy")
    with pytest.raises(EngineUnusable, match=r"library no_such_library_anywhere: pip install 'voxrelay\[other\]'"):
        load("denoise", {"fancy": "no_such_library_anywhere:Class"}, "fancy", extra="other")


def test_a_service_alone_wants_a_broker() -> None:
    code = "from voxrelay.process import main; main('x', lambda platform: None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert done.returncode == 2
    assert "VOXRELAY_KAFKA_BOOTSTRAP is not set" in done.stderr
    assert "Traceback" not in done.stderr
