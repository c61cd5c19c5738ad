"""The real services' environment, speech of two people, and the embedded platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.streaming import pcm_of

REPOSITORY = Path(__file__).resolve().parents[2]


class Embedded(NamedTuple):
    url: str
    grpc: str
    data: Path


SERVICE_VARIABLES = (
    "VOXRELAY_KAFKA_BOOTSTRAP",
    "VOXRELAY_DATABASE_URL",
    "VOXRELAY_OBJECT_STORE_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_ALLOW_HTTP",
)


@pytest.fixture(scope="session")
def services_environment(kafka_bootstrap: str) -> Mapping[str, str]:
    """What leads to the real services, with an object prefix that no earlier run has used."""
    environment = {name: os.environ[name] for name in SERVICE_VARIABLES}
    environment["VOXRELAY_OBJECT_STORE_URL"] = environment["VOXRELAY_OBJECT_STORE_URL"].rstrip("/") + f"/{uuid.uuid4().hex[:8]}"
    assert environment["VOXRELAY_KAFKA_BOOTSTRAP"] == kafka_bootstrap
    return environment


@pytest.fixture(scope="session")
def two_speakers(eval_data: Path) -> tuple[bytes, int]:
    """Real telephone speech of two people, half a minute."""
    return pcm_of(eval_data / "diarization" / "sample" / "sample.wav")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """`voxrelay serve` as a person starts it, on free ports, with a data folder of its own."""
    data = tmp_path_factory.mktemp("embedded")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOXRELAY_")}
    command = [sys.executable, "-m", "services", "--port", "0", "--grpc-port", "0", "--data", str(data), "--announce", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment, "VOXRELAY_GATEWAY_JOIN_WAIT_S": "30"}, cwd=REPOSITORY)
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())
    yield Embedded(address["url"], address["grpc"], data)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.fixture(scope="session")
def embedded_url(embedded: Embedded) -> str:
    return embedded.url
