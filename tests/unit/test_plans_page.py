"""The page of access says what the plans are."""

from __future__ import annotations

import re
from pathlib import Path

from voxrelay.plans import PLANS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "access.md"


def test_the_page_of_access_has_the_plans_as_they_are() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \| ([\w, ]+) \| ([\w, ]+) \| ([\w, ]+) \|$", PAGE.read_text(), re.MULTILINE)
    numbers = {name: tuple(0 if cell == "no limit" else int(cell.replace(",", "")) for cell in cells) for name, *cells in rows if name != "plan"}
    assert numbers == {
        plan.name: (plan.minutes_per_month, plan.vocabulary_terms, plan.concurrent_sessions, plan.requests_per_minute) for plan in PLANS.values()
    }
