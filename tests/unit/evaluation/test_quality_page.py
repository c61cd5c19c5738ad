"""The page that ``make evaluate`` fills: each run has a place, its engines exist, and only what stands between its marks changes."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.quality_page import PAGE, RUNS, VARIANT_MODELS, filled, tables_of
from services.engines import CHOICES
from voxrelay.models.catalogue import CATALOGUE


def results(**changes: Any) -> dict[str, Any]:
    made = {
        "machine": {"date": "2026-01-01", "processor": "A processor", "cores": 2},
        "tables": [[["system", "WER"], [["one", "0.5"]]]],
        "systems": [{"timing": {"audio_s": 90.0, "latency_of": "utterance end to final"}}, {}],
        "notes": ["Something is left out."],
    }
    return made | changes


def test_the_amount_the_machine_and_what_was_left_out_stand_below_the_tables() -> None:
    table, below = tables_of(results()).split("\n\n")
    assert table == "| system | WER |\n| --- | --- |\n| one | 0.5 |"
    assert below == "*1.5 minutes of audio. 2026-01-01, A processor, 2 cores. Latency: utterance end to final. Something is left out.*"
    assert tables_of(results(systems=[{}], notes=[])).endswith("*2026-01-01, A processor, 2 cores.*")


def test_only_what_stands_between_the_marks_changes() -> None:
    page = "before\n\n<!-- words -->\n\nold\n\n<!-- /words -->\n\nafter <!-- vad --> <!-- /vad -->"
    assert filled(page, "words", "new") == "before\n\n<!-- words -->\n\nnew\n\n<!-- /words -->\n\nafter <!-- vad --> <!-- /vad -->"
    for name in ("denoise", "word"):
        with pytest.raises(ValueError, match=f"no place for '{name}'"):
            filled(page, name, "new")


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_its_place_and_its_engines_exist(name: str) -> None:
    filled(PAGE.read_text(encoding="utf-8"), name, "")
    variants = {f"{model}-{precision}" for model, precision in VARIANT_MODELS}
    known = variants | {entry.name for entry in CATALOGUE} | {engine for choice in CHOICES for engine in choice.table}
    named = [value for option, value in zip(RUNS[name], RUNS[name][1:], strict=False) if option == "--engine"]
    assert named
    assert {part for one in named for part in one.split("+")} <= known
