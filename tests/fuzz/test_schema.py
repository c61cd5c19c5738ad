"""Requests made from the OpenAPI document of a running gateway (schemathesis): good ones, and ones that break a rule."""

from __future__ import annotations

import contextlib
import os

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.fuzz.conftest import Target

DOCUMENTED = (501, 503, 504)
EXAMPLES = int(os.environ.get("CASES", "0")) // 100 or 12


def test_every_operation(target: Target) -> None:
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 10
    ours = target.failures_of_ours()
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def attempt(case: schemathesis.Case) -> None:
                answer = case.call(timeout=20)
                assert answer.status_code < 500 or answer.status_code in DOCUMENTED, (answer.status_code, answer.text[:500])
                if answer.status_code >= 400:
                    assert "json" in answer.headers.get("content-type", [""])[0], answer.headers

            with contextlib.suppress(Unsatisfiable):  # an operation that takes nothing cannot be asked wrongly
                attempt()
    target.is_well(ours)
