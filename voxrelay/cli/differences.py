"""Differences between the words of two models, as a table or as JSON: for replays and for shadows alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from voxrelay.cli.console import print_table
from voxrelay.models.comparison import Difference, total


def as_rows(found: Sequence[Difference]) -> dict[str, Any]:
    """The word error rate over all sessions, and each of them."""
    return {"wer": round(total(found).wer, 4), "sessions": [{**asdict(one), "wer": round(one.wer, 4)} for one in found]}


def print_differences(found: Sequence[Difference], other: str) -> None:
    """``other`` says what the second model's words are: replayed, or said in the shadow."""
    table = Table("session", "utterances", "words published", f"words {other}", "WER between them", box=None)
    for one in found:
        table.add_row(one.session_id, str(one.utterances), str(one.words_published), str(one.words_other), f"{one.wer:.1%}")
    print_table(table)


def summary(found: Sequence[Difference]) -> str:
    return f"{len(found)} sessions, WER {total(found).wer:.1%} between the two"
