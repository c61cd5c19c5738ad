"""Fixtures every test may use. Real speech lies beside the checkout where it is at hand, and tests that need it say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.denoise.compose import front_end
from services.denoise.session import FrontEnd
from services.denoise.settings import DenoiseSettings
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The folder of real speech with references."""
    folder = SHARED / "eval"
    if not folder.is_dir():
        pytest.skip("real speech (../shared/eval) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def model_files() -> Path:
    """The folder of small real weights, a folder a model."""
    folder = Path(os.environ.get("VOXRELAY_MODELS_DIR", "") or SHARED / "models")
    if not folder.is_dir():
        pytest.skip("small real weights (../shared/models, or VOXRELAY_MODELS_DIR) are not beside this checkout")
    return folder


def _real_service(variable: str, what: str) -> str:
    """The address of a real service: missing it is a failure where real services are required, else a skip."""
    address = os.environ.get(variable, "")
    if not address:
        reason = f"no real {what}: 'scripts/services start' and 'eval \"$(scripts/services env)\"' bring one ({variable})"
        if os.environ.get("VOXRELAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return address


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    return _real_service("VOXRELAY_KAFKA_BOOTSTRAP", "Kafka broker")


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    return _real_service("VOXRELAY_DATABASE_URL", "PostgreSQL")


@pytest.fixture(scope="session")
def object_store_url() -> str:
    return _real_service("VOXRELAY_OBJECT_STORE_URL", "S3 server")


@pytest.fixture(scope="module")
def real_front_end() -> FrontEnd:
    """denoise's default engines, as they are installed."""
    try:
        return front_end(PlatformSettings(), DenoiseSettings())
    except EngineUnusable as error:
        pytest.skip(str(error))
