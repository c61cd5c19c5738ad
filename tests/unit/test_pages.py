"""Pages that repeat what the code says are compared with it."""

from __future__ import annotations

import re
from pathlib import Path

import conformance_page
import settings_page

from services.gateway.errors import CODES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (DOCS / "operations" / "settings.md").read_text() == settings_page.page(), "run 'make fmt'"


def test_the_page_of_conformance_is_up_to_date() -> None:
    assert (DOCS / "protocols" / "conformance.md").read_text() == conformance_page.page(), "run 'make fmt'"


def test_every_setting_is_described() -> None:
    for line in settings_page.page().splitlines():
        if line.startswith("| `"):
            assert len(line.split("|")[3].strip()) > 3, line


def test_the_page_of_errors_has_every_code_with_its_statuses() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| (\d+) \| ([A-Z_]+) \| (.{20,}?) \|$", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert {row[0]: (int(row[1]), int(row[2]), row[3]) for row in rows} == {
        code: (statuses.http, statuses.websocket, statuses.grpc) for code, statuses in CODES.items()
    }


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
