"""Voices for the suites here."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_piper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a voice that hums its phonemes."""
    pytest.importorskip("onnx", reason="onnx, which makes the small graphs, is not installed")
    from tests.contracts.synth.tiny_piper import build_tiny_piper

    return build_tiny_piper(tmp_path_factory.mktemp("piper"))
