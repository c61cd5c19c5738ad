"""docker-compose.yml against the schema of the Compose specification, deploy/Dockerfile before BuildKit's own checks."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from chart_checks import obtaining

from tests.chart.conftest import needs

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"


@pytest.fixture(scope="module")
def validator() -> Any:
    needs("compose-spec")
    return jsonschema_rs.validator_for(json.loads((obtaining.compose_schema(print) / "compose-spec.json").read_text()))


def test_the_file_is_valid(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(COMPOSE.read_text()))] == []


def test_what_compose_does_not_know_is_found(validator: Any) -> None:
    document = copy.deepcopy(yaml.safe_load(COMPOSE.read_text()))
    document["services"]["gateway"]["read_onyl"] = True
    assert len(list(validator.iter_errors(document))) == 1


def linted(path: Path) -> tuple[int, str]:
    needs("dockerfile-lint")
    done = subprocess.run([obtaining.dockerfile_lint(print), path], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_buildkit_finds_nothing_in_the_dockerfile() -> None:
    assert linted(REPOSITORY / "deploy" / "Dockerfile") == (0, "")


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ('ENV API_KEY="vr_1"', "SecretsUsedInArgOrEnv"),
        ("CMD python -m services.gateway", "JSONArgsRecommended"),
        ("COPY --from=nowhere:1.0 /a ${unknown}/b", "UndefinedVar"),
        ("RUN --mount=type=bond true", "bond"),
        ("HEALTHCHEK NONE", "HEALTHCHEK"),
    ],
)
def test_buildkit_finds_what_is_wrong(tmp_path: Path, line: str, finding: str) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text((REPOSITORY / "deploy" / "Dockerfile").read_text() + line + "\n")
    status, text = linted(path)
    assert status == 1
    assert finding in text
