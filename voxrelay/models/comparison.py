"""How far the words of another model are from those that were published, session by session."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from voxrelay import codec
from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.bus.span import read_span
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison
from voxrelay.events import Engine, Event, Lane, SegmentTranscribed
from voxrelay.topology import SEGMENT_SHADOWED, SEGMENT_TRANSCRIBED, Topic

Texts = dict[str, dict[str, str]]  # by session and utterance


@dataclass(frozen=True, slots=True)
class Difference:
    """One session: word errors of the other text against the one that was published, both in small letters without punctuation."""

    session_id: str
    utterances: int
    words_published: int
    words_other: int
    errors: int

    @property
    def wer(self) -> float:
        """Of the published words; with none of these, 0 when the other says nothing either, else 1."""
        return self.errors / self.words_published if self.words_published else float(self.words_other > 0)


def needs_jiwer() -> None:
    """Raises ``EngineUnusable`` where texts cannot be compared."""
    try:
        import_module("jiwer")
    except ModuleNotFoundError:
        raise EngineUnusable("Comparing texts needs the library jiwer: pip install 'voxrelay[evaluate]'.") from None


def published(bus: Bus, lane: Lane, begin_s: float, sessions: Collection[str]) -> Texts:
    """What was published of these sessions: of each utterance the first final, as every reader has it. Raises ``Unavailable``."""
    texts: Texts = {session_id: {} for session_id in sessions}
    for final in _finals(bus, SEGMENT_TRANSCRIBED, lane, begin_s, None):
        if final.session_id in texts:
            _keep(texts, final)
    return texts


def shadowed(bus: Bus, begin_s: float, end_s: float) -> dict[str, Texts]:
    """What models in the shadow said between the two wall-clock times, by model. Raises ``Unavailable``."""
    found: dict[str, Texts] = {}
    for final in _finals(bus, SEGMENT_SHADOWED, "live", begin_s, end_s):
        _keep(found.setdefault(model_of(final.payload.engine), {}), final)
    return found


def model_of(engine: Engine) -> str:
    """The registry's name of the model that a result is of; empty for the engine of the settings."""
    return engine.version.partition("+")[2]


def differences(before: Texts, after: Texts) -> list[Difference]:
    """By session, in their order: over the utterances that both have."""
    found = []
    for session_id, texts in after.items():
        common = [utterance for utterance in texts if utterance in before.get(session_id, {})]
        if common:
            published_words = [word for utterance in common for word in _words(before[session_id][utterance])]
            other_words = [word for utterance in common for word in _words(texts[utterance])]
            errors = sum(_errors(_words(before[session_id][utterance]), _words(texts[utterance])) for utterance in common)
            found.append(Difference(session_id, len(common), len(published_words), len(other_words), errors))
    return found


def total(found: Sequence[Difference]) -> Difference:
    """Over all sessions."""
    names = ("utterances", "words_published", "words_other", "errors")
    return Difference("", *(sum(getattr(one, name) for one in found) for name in names))


def span(bus: Bus, topic: Topic, lane: Lane, begin_s: float, end_s: float | None) -> Iterator[list[Record]]:
    """The records between two wall-clock times, by batches, in order within each partition; without ``end_s`` up to what is there now.

    Raises ``Unavailable``.
    """
    name = topic.name(lane)
    sources = [TopicPartition(name, number) for number in range(bus.partitions(name))]
    starts = bus.offsets_at(sources, begin_s)
    newest = {source: end for source, (_, end) in bus.offsets(sources).items()}
    ends = newest if end_s is None else {source: min(offset, newest[source]) for source, offset in bus.offsets_at(sources, end_s).items()}
    for records in read_span(bus, starts, ends, "The log stopped answering in the middle of the span."):
        yield [record for record in records if record.offset < ends[record.source]]


def events(records: Sequence[Record]) -> Iterator[Event]:
    for record in records:
        try:
            yield codec.decode(record.key, record.value, record.headers)
        except Poison:
            continue  # the live stage has put it to the dead letters


@dataclass(frozen=True, slots=True)
class _Final:
    session_id: str
    payload: SegmentTranscribed


def _finals(bus: Bus, topic: Topic, lane: Lane, begin_s: float, end_s: float | None) -> Iterator[_Final]:
    for records in span(bus, topic, lane, begin_s, end_s):
        for event in events(records):
            if isinstance(event.payload, SegmentTranscribed) and event.payload.is_final:
                yield _Final(event.session_id, event.payload)


def _keep(texts: Texts, final: _Final) -> None:
    texts.setdefault(final.session_id, {}).setdefault(final.payload.utterance_id, final.payload.text)


def _errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    if not reference or not hypothesis:
        return max(len(reference), len(hypothesis))
    counted = import_module("jiwer").process_words(" ".join(reference), " ".join(hypothesis))
    return int(counted.substitutions + counted.deletions + counted.insertions)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
