"""What benchmarks draw."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of every plot, as they were when it was written."""
    from matplotlib import pyplot

    axes: list[Any] = []
    monkeypatch.setattr(report, "OUT", tmp_path)
    monkeypatch.setattr(pyplot, "close", lambda figure: axes.append(figure.axes[0]))
    return axes


def test_bars_of_one_name_stand_in_each_group_that_has_it(drawn: list[Any]) -> None:
    path = report.write_bars("bars", "s", {"one": {"median": 1.0, "longest": 2.0}, "two": {"median": 3.0}})
    assert path.stat().st_size > 1000
    assert [bar.get_height() for bar in drawn[0].patches] == [1.0, 3.0, 2.0]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in drawn[0].patches)
    assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(edges))
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == ["one", "two"]
    assert [text.get_text() for text in drawn[0].get_legend().get_texts()] == ["median", "longest"]


def test_shares_are_joined_by_name(drawn: list[Any]) -> None:
    report.write_shares("shares", "callers", "ms", {"embedded": [(1, 10.0), (8, 80.0)]})
    (line,) = drawn[0].lines
    assert [list(axis) for axis in line.get_data()] == [[1, 8], [10.0, 80.0]]
    numbers = [label.get_text() for axis in (drawn[0].xaxis, drawn[0].yaxis) for label in axis.get_ticklabels(which="both")]
    assert {"1", "2", "10", "20"} <= set(numbers)
    assert not any("^" in number for number in numbers)
    assert (drawn[0].get_xlabel(), drawn[0].get_ylabel()) == ("callers", "ms")
