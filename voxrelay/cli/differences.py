"""Differences between what two models say, as a table or as JSON: for replays and for shadows alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from voxrelay.cli.console import print_table
from voxrelay.models.agreement import Agreement, Kind, overall
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


def agreement_rows(kind: Kind, found: Sequence[Agreement]) -> dict[str, Any]:
    """The share that is otherwise over all sessions, and each of them."""
    sessions = [{**asdict(one), "share_otherwise": round(one.share_otherwise, 4)} for one in found]
    return {"unit": kind.unit, "share_otherwise": round(overall(found).share_otherwise, 4), "sessions": sessions}


def print_agreements(kind: Kind, found: Sequence[Agreement]) -> None:
    table = Table("session", "utterances", kind.unit, "otherwise in the shadow", "share", box=None)
    for one in found:
        table.add_row(one.session_id, str(one.utterances), f"{one.compared:g}", f"{one.otherwise:g}", f"{one.share_otherwise:.1%}")
    print_table(table)


def agreement_summary(kind: Kind, found: Sequence[Agreement]) -> str:
    return f"{len(found)} sessions, {overall(found).share_otherwise:.1%} of the {kind.unit} otherwise"
