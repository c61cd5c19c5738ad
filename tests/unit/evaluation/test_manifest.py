"""Data as people write it: manifests, references beside recordings, and what is wrong with them."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from evaluation.items import DataUnusable, Item, Turn, read_pcm, silences
from evaluation.manifest import read_items, read_rttm


def write_wave(path: Path, seconds: float = 0.5, rate_hz: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.sin(np.arange(int(seconds * rate_hz)) / 9) * 3000).astype("<i2").tobytes())


def test_a_manifest_says_everything_that_is_known(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav")
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 0.10 0.30 <NA> <NA> anna <NA> <NA>\n\nNON-SPEECH a 1 0 1\n")
    lines = [
        {"audio": "a.wav", "text": "hello", "rttm": "a.rttm", "clean": "a.wav", "speaker": "anna", "labels": {"gender": "female"}, "group": "calls"},
        {"audio": "a.wav", "text": ""},
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    first, second = read_items(tmp_path)
    assert (first.text, first.turns, first.speaker, dict(first.labels), first.group) == (
        "hello",
        (Turn("anna", 0.1, 0.4),),
        "anna",
        {"gender": "female"},
        "calls",
    )
    assert first.clean == first.audio == tmp_path / "a.wav"
    assert (second.text, second.turns) == ("", None)
    assert read_items(tmp_path / "manifest.jsonl") == [first, second]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "no JSON"),
        ('{"text": "hello"}', "names no audio"),
        ('{"audio": "b.wav"}', "not there"),
        ('{"audio": "a.wav", "transcript": "x"}', "'transcript'"),
        ('{"audio": "a.wav", "text": 3}', "a text"),
        ('{"audio": "a.wav", "rttm": "none.rttm"}', "cannot be read"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    write_wave(tmp_path / "a.wav")
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(DataUnusable, match=said):
        read_items(tmp_path)


def test_references_beside_recordings(tmp_path: Path) -> None:
    write_wave(tmp_path / "calls" / "a.wav")
    (tmp_path / "calls" / "a.txt").write_text("good morning\n")
    write_wave(tmp_path / "b.noisy.wav")
    write_wave(tmp_path / "b.clean.wav")
    write_wave(tmp_path / "without.wav")
    found = {item.name: item for item in read_items(tmp_path)}
    assert set(found) == {"calls/a.wav", "b.noisy.wav"}
    assert (found["calls/a.wav"].text, found["calls/a.wav"].group) == ("good morning", "calls")
    assert found["b.noisy.wav"].clean == tmp_path / "b.clean.wav"


def test_a_folder_without_references_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataUnusable, match="neither"):
        read_items(tmp_path)
    with pytest.raises(DataUnusable, match="no evaluation data"):
        read_items(tmp_path / "nowhere")


def test_times_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 nan 0.30 <NA> <NA> anna <NA> <NA>\n")
    with pytest.raises(DataUnusable, match="cannot be"):
        read_rttm(tmp_path / "a.rttm")
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 zero\n")
    with pytest.raises(DataUnusable, match="Line 1"):
        read_rttm(tmp_path / "a.rttm")


def test_audio_comes_at_its_own_rate_or_the_one_asked_for(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav", 0.5, 8_000)
    assert (len(Item("a", tmp_path / "a.wav").pcm()[0]), Item("a", tmp_path / "a.wav").pcm()[1]) == (8_000, 8_000)
    assert len(read_pcm(tmp_path / "a.wav", 16_000)[0]) == pytest.approx(16_000, abs=64)
    (tmp_path / "b.wav").write_bytes(b"no audio at all")
    with pytest.raises(DataUnusable, match="cannot be read as audio"):
        read_pcm(tmp_path / "b.wav")


def test_made_silence_is_as_long_and_as_loud_as_it_says() -> None:
    for item in silences(1 / 60):
        samples = np.frombuffer(item.pcm()[0], "<i2") / 32768
        assert samples.size == 16_000
        level_db = 20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9)
        wanted_db = {"digital silence": -180, "white noise at -40 dBFS": -40, "pink noise at -30 dBFS": -30}[item.name]
        assert level_db == pytest.approx(wanted_db, abs=0.5)


def test_the_known_collection_has_something_for_every_task(eval_data: Path) -> None:
    items = read_items(eval_data)
    assert sum(item.text not in (None, "") for item in items) >= 140
    assert sum(item.text == "" for item in items) >= 5
    assert sum(item.turns is not None for item in items) >= 10
    assert sum(item.clean is not None for item in items) >= 18
    assert {item.labels["gender"] for item in items if item.labels} == {"female", "male"}
    assert len({item.speaker for item in items}) > 10
    assert all(item.audio is not None and item.audio.is_file() for item in items)
