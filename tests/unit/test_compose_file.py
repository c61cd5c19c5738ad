"""docker-compose.yml keeps what it promises: loopback only, health checks, and the broker scripts/services starts."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
CORE = ("kafka", "postgres", "s3")
# Roles, addresses, names and folders, which each of the two has to set in its own way.
OWN_TO_THE_CONTAINER = {
    "node.id",
    "process.roles",
    "controller.quorum.voters",
    "controller.listener.names",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "log.dirs",
    "heap.opts",
}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return found


def test_every_port_is_published_on_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) >= len(CORE)
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", CORE)
def test_core_services_have_a_health_check_a_fixed_version_and_the_profile(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert re.search(r":v?\d", service["image"])
    assert service["profiles"] == ["core"]


def test_every_variable_has_a_default_and_the_file_says_that_they_are_for_development() -> None:
    assert re.findall(r"\$\{[A-Z0-9_]+\}", TEXT) == []
    assert "DEVELOPMENT ONLY" in TEXT


def test_the_broker_is_set_up_as_scripts_services_does(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    in_script: dict[str, str] = importlib.import_module("local_services.kafka").BROKER_PROPERTIES
    in_compose = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value
        for name, value in services["kafka"]["environment"].items()
        if name.startswith("KAFKA_")
    }
    assert {name: value for name, value in in_compose.items() if name not in OWN_TO_THE_CONTAINER} == in_script
