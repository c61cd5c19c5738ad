"""Fixtures every test may use. Real speech lies beside the checkout where it is at hand, and tests that need it say so."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The folder of real speech with references."""
    folder = SHARED / "eval"
    if not folder.is_dir():
        pytest.skip("real speech (../shared/eval) is not beside this checkout")
    return folder
