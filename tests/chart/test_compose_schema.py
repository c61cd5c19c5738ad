"""docker-compose.yml against the schema of the Compose specification."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from local_cluster import obtaining

from tests.chart.conftest import needs

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"


@pytest.fixture(scope="module")
def validator() -> Any:
    needs([name for name in obtaining.what_is_missing(with_control_plane=False) if name == "compose-spec"], "helm-test")
    return jsonschema_rs.validator_for(json.loads((obtaining.compose_schema(print) / "compose-spec.json").read_text()))


def test_the_file_is_valid(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(COMPOSE.read_text()))] == []


def test_what_compose_does_not_know_is_found(validator: Any) -> None:
    document = copy.deepcopy(yaml.safe_load(COMPOSE.read_text()))
    document["services"]["gateway"]["read_onyl"] = True
    assert len(list(validator.iter_errors(document))) == 1
