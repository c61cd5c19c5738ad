"""docs/attributes.md says exactly what the table in attributes.py says."""

from __future__ import annotations

import re
from pathlib import Path

from services.classify.attributes import ATTRIBUTES, AttributeKind

PAGE = Path(__file__).resolve().parents[3] / "docs" / "attributes.md"


def row(kind: AttributeKind) -> str:
    values = ", ".join(kind.labels) if kind.range is None else "{:g} to {:g}".format(*kind.range)
    cells = (f"`{kind.name}`", kind.source, kind.unit, values, kind.meaning)
    return re.sub(r" +", " ", "| " + " | ".join(cells) + " |")


def test_the_pages_table_is_the_table() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == [row(kind) for kind in ATTRIBUTES]


def test_every_attribute_has_its_section_with_confidence_and_limits() -> None:
    sections = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    explained: set[str] = set()
    for section in sections:
        heading, _, body = section.partition("\n")
        explained.update(heading.split(", "))
        assert "Confidence" in body, heading
        assert "imits" in body, heading
    assert explained == {kind.name for kind in ATTRIBUTES}


def test_names_are_given_once() -> None:
    assert len({kind.name for kind in ATTRIBUTES}) == len(ATTRIBUTES)
