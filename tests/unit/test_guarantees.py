"""Each promise names the test that holds it, and those tests exist; the table of faults is the campaign's own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "guarantees.md").read_text()
PROMISE = re.compile(r"^\| (?!promise|---|kind)(.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_names_a_test_that_exists() -> None:
    promises = PROMISE.findall(PAGE.partition("## The campaign")[0])
    assert len(promises) >= 20
    for promise, held_by in promises:
        named = TEST.findall(held_by)
        assert named, promise
        for path, name in named:
            assert (REPOSITORY / path).is_file(), path
            assert name in _functions(REPOSITORY / path), f"{path}::{name}"


def test_the_page_names_every_kind_of_fault() -> None:
    source = (REPOSITORY / "benchmarks" / "chaos" / "faults" / "__init__.py").read_text()
    kinds = re.findall(r'^    "([a-z ]+)": Kind\(\s*"([^"]+)"', source, re.MULTILINE)
    assert len(kinds) >= 15
    told = re.findall(r"^\| `([a-z ]+)` \| (.+?) \|$", PAGE, re.MULTILINE)
    assert told == kinds
