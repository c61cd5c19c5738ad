"""The code in docs/how-to runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from voxrelay import events
from voxrelay.events import Event, SegmentTranscribed, StageFinished, Word
from voxrelay.models.slot import EngineSlot
from voxrelay.topology import SEGMENT_CLASSIFIED, SEGMENT_TRANSCRIBED, StageNode

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def _blocks(page: str) -> list[str]:
    found = re.findall(r"^ {3}```python\n(.*?)^ {3}```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for block in found]


def test_the_stage_of_the_page_counts_words() -> None:
    names = {name: getattr(events, name) for name in dir(events)} | {
        "StageNode": StageNode,
        "SEGMENT_TRANSCRIBED": SEGMENT_TRANSCRIBED,
        "SEGMENT_CLASSIFIED": SEGMENT_CLASSIFIED,
    }
    node, stage_code, *_ = _blocks("add-a-stage.md")
    exec(node, names)  # noqa: S102  # our own page
    exec(stage_code, names)  # noqa: S102  # our own page
    stage = names["CountStage"]()
    said = SegmentTranscribed("u1", 2, True, 0.0, 1.0, "hello world", 0.9, (Word("hello", 0, 0.5, 0.9), Word("world", 0.5, 1, 0.9)))
    batch = [Event("s", said), Event("s", StageFinished("transcribe", 1))]
    together = [event.payload for event in stage.process(batch)]
    first, second = names["CountStage"](), names["CountStage"]()
    apart = [event.payload for event in first.process(batch[:1])]
    second.restore("s", first.snapshot("s"))
    apart += [event.payload for event in second.process(batch[1:])]
    assert apart == together
    assert together[0].attributes[0].value == 2.0
    assert names["COUNT"].reads is SEGMENT_TRANSCRIBED


def test_the_engine_of_the_page_speaks() -> None:
    from services.synth import engine as capability
    from services.synth.stage import SynthStage
    from voxrelay.events import Engine, SynthesisProduced, SynthesisRequested

    adapter, entry, *_ = _blocks("add-an-engine.md")
    names = {"np": np, "Engine": Engine, **{name: getattr(capability, name) for name in ("Voice", "Mark", "Spoken")}}
    exec(adapter, names)  # noqa: S102  # our own page
    table = {"ENGINES": dict(capability.ENGINES)}
    exec(entry, table)  # noqa: S102  # our own page
    assert table["ENGINES"]["tones"].endswith(":TonesSynthesizer")
    stage = SynthStage(EngineSlot("synth", names["TonesSynthesizer"]()))
    pieces = [event.payload for event in stage.process([Event("s", SynthesisRequested("Hello there. Bye.", sample_rate_hz=8000))])]
    assert all(isinstance(piece, SynthesisProduced) for piece in pieces)
    assert sum(len(piece.pcm_s16le) for piece in pieces) == 3 * 2000 * 2
    assert [word.text for piece in pieces for word in piece.words] == ["Hello", "there.", "Bye."]
