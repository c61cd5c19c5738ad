"""What a person at a terminal sees of `voxrelay listen`."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from voxrelay.cli import console, listen

FINAL = {"type": "final", "transcript": "good morning", "speaker": "S1", "words": [{"word": "good", "start": 0.1, "end": 0.4}]}


def shown(monkeypatch: pytest.MonkeyPatch, *, is_piped: bool) -> tuple[str, str]:
    """What an interim and a final leave on the terminal and, where it is piped, on standard output."""
    terminal, piped = io.StringIO(), io.StringIO()
    out = Console(file=piped) if is_piped else Console(file=terminal, force_terminal=True, width=100)
    err = Console(file=terminal, force_terminal=True, width=100)
    monkeypatch.setattr(console, "out", out)
    monkeypatch.setattr(console, "err", err)
    with Progress(TextColumn("{task.description}"), console=err, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("listening")
        listen._show({"type": "interim", "transcript": "good"}, progress, task, as_json=False)
        progress.refresh()
        listen._show(FINAL, progress, task, as_json=False)
    return terminal.getvalue(), piped.getvalue()


def test_a_final_takes_the_line_of_the_progress_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, _ = shown(monkeypatch, is_piped=False)
    before, _, after = terminal.partition("00:00.1-00:00.4")
    assert "… good" in before
    assert "\r\x1b[2K" in before.rpartition("… good")[2]  # the line was cleared
    assert after.partition("\n")[0].rstrip("\x1b[0m").endswith("good")


def test_finals_that_are_piped_go_to_standard_output_and_the_progress_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, piped = shown(monkeypatch, is_piped=True)
    assert piped == "00:00.1-00:00.4  S1: good\n"
    assert "S1" not in terminal
