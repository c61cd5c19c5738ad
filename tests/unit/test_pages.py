"""Pages that repeat what the code says are compared with it."""

from __future__ import annotations

import re
from pathlib import Path

import conformance_page
import settings_page

from services.gateway.errors import CODES
from voxrelay.storage import migrations
from voxrelay.topology import HOUR_MS, TOPICS, topic_specs

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


def test_the_page_of_retention_says_how_long_kafka_keeps_each_topic() -> None:
    page = (DOCS / "operations" / "retention.md").read_text()
    hours = {name: float(kept) for name, kept in re.findall(r"^\| `(speech\.[a-z.]+v1)` \| .+ \| (\d+) \|$", page, re.MULTILINE)}
    assert hours == {topic.name("live"): topic.retention_ms / HOUR_MS for topic in TOPICS}
    kept = {spec.name: int(spec.config["retention.ms"]) / HOUR_MS for spec in topic_specs() if "retention.ms" in spec.config}
    assert {kept[name] for name in kept if name.endswith(".dlq")} == {720}
    assert {kept[name] for name in kept if ".checkpoint." in name} == {24}
    assert re.search(r"\.dlq` \| .+ \| 720 \|", page)
    assert re.search(r"speech\.checkpoint\.<stage>\.v1` \| .+ \| 24 \|", page)


def test_the_page_of_upgrades_has_every_version_of_the_schema() -> None:
    rows = re.findall(r"^\| (\d{4}) \| .+ \| .+ \|$", (DOCS / "operations" / "upgrade-notes.md").read_text(), re.MULTILINE)
    assert rows == migrations.all_versions()


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
