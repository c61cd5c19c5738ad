"""What tasks make of what the stages said, and how it is reported: answers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.items import DataUnusable, Item, Turn
from evaluation.path import Outcome
from evaluation.report import Report, shown
from evaluation.run import Result, Timing, chosen
from evaluation.task import Heard, means, rate_of
from evaluation.tasks import TASKS, task_named
from evaluation.tasks.speaker import _scored
from voxrelay.events import (
    Attribute,
    AudioDenoised,
    Engine,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SpeakerSegment,
    UtteranceEnded,
)

SILENCE_S = 2


def heard(item: Item, *said: object) -> Heard:
    outcome = Outcome()
    for payload in said:
        outcome.take(payload)  # type: ignore[arg-type]
    return Heard(item, np.zeros(SILENCE_S * 16_000, np.float32), outcome)


def text(said: str, utterance: str = "u1", start_s: float = 0.0) -> SegmentTranscribed:
    return SegmentTranscribed(utterance, 1, True, start_s, start_s + 1, said, 0.9, engine=Engine("scripted", "1"))


def test_words_and_false_text() -> None:
    task = task_named("transcribe")
    spoken = heard(Item("a", text="one two three four"), text("three for", "u2", 1.0), text("one two"))
    scores = task.scores([spoken, heard(Item("b", text=""), text("ghosts speak")), heard(Item("c", text=""))])
    assert rate_of(scores) == 0.25
    assert "four" in scores[0].detail
    assert task.summary(scores) == {"silent minutes": pytest.approx(4 / 60), "false words per silent hour": pytest.approx(2 / 4 * 3600)}
    assert scores[1].detail.endswith("ghosts speak")


def test_a_revision_replaces_what_was_said_and_only_the_first_final_counts_for_latency() -> None:
    outcome = Outcome()
    assert outcome.take(text("one")) == "u1"
    assert outcome.take(text("two")) == ""
    assert outcome.text == "two"


def diarized(*turns: tuple[str, float, float]) -> SegmentDiarized:
    return SegmentDiarized("u1", 1, True, 0.0, 2.0, tuple(SpeakerSegment(*turn, 0.9) for turn in turns))


def test_speakers_beside_the_guess_that_there_is_one() -> None:
    task = task_named("diarize")
    one = heard(Item("a", turns=(Turn("x", 0, 1), Turn("y", 1, 2))), diarized(("S1", 0.0, 1.0), ("S2", 1.0, 2.0)))
    assert rate_of(task.scores([one])) == 0.0
    assert rate_of(task.floor_scores([one])) == 0.5
    assert task.summary(task.floor_scores([one]))["confused"] == 0.5
    assert means(task.scores([one]))["speakers found"] == 2.0


def test_speech_beside_the_guess_that_all_is() -> None:
    task = task_named("vad")
    chunks = [AudioDenoised(at * 1600, bytes(3200), speech_probability=0.9 if at < 10 else 0.1) for at in range(20)]
    one = heard(Item("a", turns=(Turn("x", 0, 1),)), *chunks, UtteranceEnded("u1", 0, 24_000))
    assert rate_of(task.scores([one])) == 0.5  # half a second too long
    assert rate_of(task.floor_scores([one])) == 1.0
    assert task.scores([one])[0].figures["AUC"] == 1.0


def test_a_recordings_label_is_the_one_most_of_it_got() -> None:
    task = task_named("classify")

    def said(utterance: str, label: str, start_s: float, end_s: float) -> SegmentClassified:
        return SegmentClassified(utterance, 1, True, start_s, end_s, (Attribute("gender", label, 0.8),), Engine("dsp", "1"))

    right = heard(Item("a", labels={"gender": "female"}), said("u1", "male", 0, 0.5), said("u2", "female", 0.5, 2))
    wrong = heard(Item("b", labels={"gender": "male"}), said("u1", "female", 0, 1))
    nothing = heard(Item("c", labels={"gender": "female"}))
    scores = task.scores([right, wrong, nothing])
    assert rate_of(scores) == 2 / 3
    assert rate_of(task.floor_scores([right, wrong, nothing])) == 1 / 3
    assert task.summary(scores)["balanced accuracy"] == pytest.approx(0.25)


def test_voices_are_scored_over_all_pairs() -> None:
    def voice(speaker: str) -> Heard:
        return heard(Item(speaker, speaker=speaker))

    people = [voice("anna"), voice("anna"), voice("bert"), voice("bert")]
    east, north = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    assert rate_of(_scored(people, {0: east, 1: east, 2: north, 3: north})) == 0.0
    assert rate_of(_scored(people, {0: east, 1: north, 2: east, 3: north})) == pytest.approx(2 / 3)  # the worst line through three points
    with pytest.raises(DataUnusable, match="one speaker and one of another"):
        _scored(people[:2], {0: east, 1: east})


def test_every_task_can_be_made_and_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path))
    for name in TASKS:
        task = task_named(name)
        assert task.name == name
        with pytest.raises(DataUnusable, match=f"'{name}' needs"):
            chosen(task, [Item("bare")])
    assert any("voxrelay models pull dnsmos" in note for note in task_named("denoise").notes())


def results() -> list[Result]:
    task = task_named("transcribe")
    items = [Item(f"clip {number}", text="one two three four", group="even" if number % 2 == 0 else "odd") for number in range(8)]

    def made(name: str, said: Sequence[str], latency_s: float) -> Result:
        scores = task.scores([heard(item, text(words)) for item, words in zip(items, said, strict=True)])
        return Result(
            name, scores, {}, Timing(16.0, 4.0, 2.0, (latency_s, latency_s * 2), "utterance end to final"), {"transcribe": Engine(name, "1")}
        )

    return [made("good", ["one two three for"] * 8, 0.1), made("bad", ["won to"] * 8, 0.2)]


def test_a_report_holds_table_groups_comparison_and_alignments(tmp_path: Path) -> None:
    report = Report(task_named("transcribe"), results(), "clips", {"noise_suppression": 1.0})
    written = report.write(tmp_path / "out")
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["rate"] for one in data["systems"]] == [0.25, 1.0]
    assert data["systems"][0]["timing"]["rtf"] == 0.25
    assert data["systems"][0]["timing"]["latency_s"]["p50"] == 0.2
    assert data["comparisons"][0]["is_significant"] is True
    assert (data["comparisons"][0]["better"], data["comparisons"][0]["worse"]) == (0, 8)
    page = (tmp_path / "out" / "report.md").read_text()
    for piece in ("| good | 8 | 0.250 |", "| even | 4 | 0.250 | 1.000 |", "| bad | +0.7500 |", "REF: one two three four", "noise_suppression=1.0"):
        assert piece in page
    assert {path.suffix for path in written} == {".json", ".md", ".png"}
    assert (tmp_path / "out" / "results.png").read_bytes()[:4] == b"\x89PNG"


def test_figures_are_as_long_as_they_mean_something() -> None:
    assert [shown(value) for value in (None, 0.12345, 9.9994, 12.345, -0.5)] == ["", "0.123", "9.999", "12.3", "-0.500"]
