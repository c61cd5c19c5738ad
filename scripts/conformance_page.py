"""Prints docs/protocols/conformance.md from the marks of the tests: `make fmt` writes it, a test compares.

A test says what it proves of a protocol: ``@pytest.mark.conformance("deepgram", "parameter interim_results", "done")``, with constants for
arguments. Nothing is claimed that no test covers: a row without a test cannot be written.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent / "tests"
STANDINGS = ("done", "accepted without effect", "refused")
HEAD = """# What works, and what does not

Every row is what a test proves: **done**; **accepted without effect** (a client that sends it gets on, and nothing comes of it); **refused**
(a clear error says why). This page is made by `make fmt` from the marks of the tests.
"""


class Claim(NamedTuple):
    protocol: str
    item: str
    standing: str
    note: str
    test: str


def _claims_of(path: Path) -> Iterator[Claim]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "conformance":
            values = [ast.literal_eval(argument) for argument in node.args]
            values += [ast.literal_eval(keyword.value) for keyword in node.keywords]
            protocol, item, standing, *note = values
            if standing not in STANDINGS:
                raise ValueError(f"{path.name}: '{standing}' is none of {', '.join(STANDINGS)}")
            yield Claim(protocol, item, standing, note[0] if note else "", path.relative_to(TESTS).as_posix())


def page() -> str:
    claims = [claim for path in sorted(TESTS.rglob("test_*.py")) for claim in _claims_of(path)]
    by_protocol: dict[str, dict[str, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for claim in claims:
        by_protocol[claim.protocol][claim.item].append(claim)
    parts = [HEAD]
    for protocol in sorted(by_protocol):
        rows = ["| what | standing | note | proved by |", "|---|---|---|---|"]
        for item, of_item in sorted(by_protocol[protocol].items()):
            standings = {claim.standing for claim in of_item}
            if len(standings) > 1:
                raise ValueError(f"{protocol}: '{item}' is said to be {' and '.join(sorted(standings))}")
            notes = "; ".join(dict.fromkeys(claim.note for claim in of_item if claim.note))
            tests = ", ".join(f"`{test}`" for test in dict.fromkeys(claim.test for claim in of_item))
            rows.append(f"| {item} | {of_item[0].standing} | {notes} | {tests} |")
        parts += [f"## {protocol}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
