"""Metrics say what is true, and no label can take a value that a client chooses."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import metrics_page
import pytest
from prometheus_client import REGISTRY

from services.gateway.errors import CODES
from voxrelay import telemetry
from voxrelay.footprint import Footprint
from voxrelay.workers import Workers

ROOT = Path(__file__).resolve().parents[3]
# The only expressions that may stand in ``.labels(…)``, each with where its values come from.
BOUNDED = {
    "name": "a node of the topology, given to a runner",
    "stage": "a node of the topology, given by a service's compose",
    "node.name": "a node of the topology",
    "f'{stage}.shadow'": "a node of the topology and its shadow",
    "self._node.name": "a node of the topology",
    "lane": "events.LANES",
    "self._lane": "events.LANES",
    "EDGE": "a constant of a protocol's file",
    "edge": "a constant of a protocol's file, passed on",
    "self.edge": "a constant of a protocol's file, kept by the session",
    "session.edge": "a constant of a protocol's file, kept by the session",
    "dialect.edge": "a constant of a protocol's file",
    "self.task": "an engine slot's, given by a service's compose",
    "*engine": "the task and an engine that is loaded; taken back when it is closed",
    "code": "a key of errors.CODES",
    "refused.code": "a key of errors.CODES",
    "update.code": "a key of errors.CODES",
    "table.name": "a table of storage/database.py",
    "process": "given to process.main by a service's __main__",
    "version": "the installed distribution's",
    "engine.name": "an engine that is loaded",
    "engine.version": "an engine that is loaded",
    "engine.model_digest": "an engine that is loaded",
}


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("voxrelay", "services"):
        for path in (ROOT / package).rglob("*.py"):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (getattr(node.func, "attr", None) == name or getattr(node.func, "id", None) == name):
            yield node


def _is_constant(argument: ast.expr) -> bool:
    """A word in the code, or the name of a node that stands in capitals in topology.py."""
    return isinstance(argument, ast.Constant) or ast.unparse(argument).removesuffix(".name").isupper()


def test_no_label_can_take_a_value_from_outside() -> None:
    seen = 0
    for path, tree in _sources():
        for call in _calls(tree, "labels"):
            for argument in call.args:
                seen += 1
                assert _is_constant(argument) or ast.unparse(argument) in BOUNDED, f"{path.name}:{call.lineno}: where do its values come from?"
            assert not call.keywords
    assert seen > 30


def test_every_refusal_has_a_code_of_the_list() -> None:
    codes = {
        call.args[0].value
        for path, tree in _sources()
        if "gateway" in path.parts
        for name in ("Refused", "Failed")
        for call in _calls(tree, name)
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert len(codes) > 15
    assert codes <= CODES.keys()


def test_every_label_is_explained() -> None:
    used = {label for _, metrics in metrics_page.families() for metric in metrics for label in metrics_page.labels_of(metric)}
    assert used == telemetry.LABELS.keys()


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert (ROOT / "docs" / "operations" / "metrics.md").read_text() == metrics_page.page(), "run 'make fmt'"


def test_a_process_and_its_workers_are_weighed() -> None:
    def weigh() -> dict[tuple[str, str], float]:
        return {(sample.name, sample.labels["part"]): sample.value for family in Footprint().collect() for sample in family.samples}

    before = weigh()
    assert before["voxrelay_memory_bytes", "service"] > 10e6
    workers = Workers("tests.unit.workers.serving:Serving", 1, 30.0)
    try:
        assert weigh()["voxrelay_memory_bytes", "workers"] > before["voxrelay_memory_bytes", "workers"] + 5e6
        assert weigh()["voxrelay_cpu_seconds_total", "workers"] > 0
    finally:
        workers.close()
    started = time.process_time()
    while time.process_time() < started + 0.05:
        pass
    assert weigh()["voxrelay_cpu_seconds_total", "service"] > before["voxrelay_cpu_seconds_total", "service"]


def test_a_process_tells_what_it_is() -> None:
    telemetry.tell_process("embedded")
    told = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == "voxrelay_process_info"]
    assert [sample.value for sample in told if sample.labels["process"] == "embedded"] == [1.0]


@pytest.mark.parametrize("family", [metric for _, metrics in metrics_page.families() for metric in metrics], ids=lambda family: family.name)
def test_names_say_their_unit(family: object) -> None:
    name = metrics_page.sample_name(family)  # type: ignore[arg-type]
    assert name.startswith("voxrelay_")
    assert name.endswith(("_seconds", "_total", "_bytes", "_records", "_sessions", "_events", "_utterances", "_info"))
