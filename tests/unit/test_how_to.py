"""The code in docs/how-to runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from voxrelay import events
from voxrelay.events import Event, SegmentTranscribed, StageFinished, Word
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
