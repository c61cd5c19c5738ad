"""How far the speakers and attributes of a model in the shadow are from those that were published, session by session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from voxrelay.bus.api import Bus
from voxrelay.engines import EngineUnusable
from voxrelay.events import Event, SegmentClassified, SegmentDiarized
from voxrelay.models.comparison import events, model_of, span
from voxrelay.topology import CLASSIFY, DIARIZE, SEGMENT_SHADOWED, StageNode

UNLIKE = 0.1  # numbers are otherwise when they differ by more than that share of the larger

Segment = SegmentDiarized | SegmentClassified
Segments = dict[str, dict[str, Any]]  # by session and utterance, the newest revision
Apart = Callable[[Sequence[tuple[Any, Any]]], tuple[float, float]]  # pairs of one session: how much was compared, how much is otherwise


@dataclass(frozen=True, slots=True)
class Kind:
    """``unit`` is what is compared. ``apart`` raises ``EngineUnusable`` where a library for it is missing."""

    node: StageNode
    payload: type[Segment]
    unit: str
    apart: Apart


@dataclass(frozen=True, slots=True)
class Agreement:
    """One session. ``otherwise`` is what the second model has in another way, in the unit of what was ``compared``."""

    session_id: str
    utterances: int
    compared: float
    otherwise: float

    @property
    def share_otherwise(self) -> float:
        return self.otherwise / self.compared if self.compared else float(self.otherwise > 0)


def shadowed_segments(bus: Bus, kind: Kind, begin_s: float, end_s: float) -> dict[str, Segments]:
    """What models in the shadow found between the two wall-clock times, by model. Raises ``Unavailable``."""
    found: dict[str, Segments] = {}
    for event in _finals(bus, kind, begin_s, end_s, in_shadow=True):
        _keep(found.setdefault(model_of(_engine(event)), {}), event)
    return found


def published_segments(bus: Bus, kind: Kind, begin_s: float, sessions: Iterable[str]) -> Segments:
    """What was published of these sessions. Raises ``Unavailable``."""
    found: Segments = {session_id: {} for session_id in sessions}
    for event in _finals(bus, kind, begin_s, None, in_shadow=False):
        if event.session_id in found:
            _keep(found, event)
    return found


def agreements(kind: Kind, before: Segments, after: Segments) -> list[Agreement]:
    """By session, in the order of ``after``: over the utterances that both have."""
    found = []
    for session_id, segments in after.items():
        earlier = before.get(session_id, {})
        pairs = [(earlier[utterance], segment) for utterance, segment in segments.items() if utterance in earlier]
        if pairs:
            found.append(Agreement(session_id, len(pairs), *(round(value, 3) for value in kind.apart(pairs))))
    return found


def overall(found: Sequence[Agreement]) -> Agreement:
    return Agreement("", sum(one.utterances for one in found), sum(one.compared for one in found), sum(one.otherwise for one in found))


def _finals(bus: Bus, kind: Kind, begin_s: float, end_s: float | None, *, in_shadow: bool) -> Iterable[Event]:
    for records in span(bus, SEGMENT_SHADOWED if in_shadow else kind.node.writes[0], "live", begin_s, end_s):
        for event in events(records):
            is_of_kind = isinstance(event.payload, kind.payload) and event.payload.is_final
            if is_of_kind and (in_shadow or event.producer == kind.node.name):
                yield event


def _keep(segments: Segments, event: Event) -> None:
    of_session: dict[str, Any] = segments.setdefault(event.session_id, {})
    payload: Any = event.payload
    known = of_session.get(payload.utterance_id)
    if known is None or known.revision <= payload.revision:
        of_session[payload.utterance_id] = payload


def _engine(event: Event) -> Any:
    payload: Any = event.payload
    return payload.engine


def _speakers_apart(pairs: Sequence[tuple[SegmentDiarized, SegmentDiarized]]) -> tuple[float, float]:
    """Seconds of speech, and those missed, added or given to another speaker: a diarization error, speakers matched as well as can be."""
    try:
        core, metrics = import_module("pyannote.core"), import_module("pyannote.metrics.diarization")
    except ModuleNotFoundError:
        raise EngineUnusable("Comparing speakers needs the library pyannote.metrics: pip install 'voxrelay[evaluate]'.") from None
    annotations = []
    for side in (0, 1):
        annotation = core.Annotation()
        for pair in pairs:
            for number, one in enumerate(pair[side].segments):
                annotation[core.Segment(one.start_s, one.end_s), f"{pair[side].utterance_id}/{number}"] = one.speaker
        annotations.append(annotation)
    spoken = core.Timeline([core.Segment(pair[0].start_s, pair[0].end_s) for pair in pairs])
    parts: Mapping[str, float] = metrics.DiarizationErrorRate()(*annotations, uem=spoken, detailed=True)
    return parts["total"], parts["missed detection"] + parts["false alarm"] + parts["confusion"]


def _attributes_apart(pairs: Sequence[tuple[SegmentClassified, SegmentClassified]]) -> tuple[float, float]:
    """Attributes that either has, and those that only one has or that have another label or a number too far away."""
    compared = otherwise = 0
    for before, after in pairs:
        values = [{attribute.name: attribute.value for attribute in one.attributes} for one in (before, after)]
        names = values[0].keys() | values[1].keys()
        compared += len(names)
        otherwise += sum(_is_unlike(values[0].get(name), values[1].get(name)) for name in names)
    return compared, otherwise


def _is_unlike(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) > UNLIKE * max(abs(before), abs(after))
    return bool(before != after)


KINDS: dict[str, Kind] = {
    "diarize": Kind(DIARIZE, SegmentDiarized, "seconds of speech", _speakers_apart),
    "classify": Kind(CLASSIFY, SegmentClassified, "attributes", _attributes_apart),
}
