"""Requests made from the OpenAPI document of a running gateway (schemathesis): good ones, and ones that break one rule."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.fuzz.conftest import Target

DOCUMENTED = (501, 503, 504)
EXAMPLES = int(os.environ.get("CASES", "0")) // 100 or 25


@pytest.fixture(scope="module")
def document(target: Target) -> object:
    return schemathesis.openapi.from_url(f"{target.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_every_operation(case: schemathesis.Case) -> None:
    answer = case.call(timeout=20)
    assert answer.status_code < 500 or answer.status_code in DOCUMENTED, (answer.status_code, answer.text[:500])
    if answer.status_code >= 400:
        assert "json" in answer.headers.get("content-type", ""), answer.headers


def test_the_gateway_is_well_afterwards(target: Target) -> None:
    target.is_well(0.0, 1e9)
