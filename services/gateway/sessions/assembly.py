"""From results as they arrive to updates in order: which utterance is due, what it still waits for, when the session is complete.

Pure: time is passed in. One instance a session, used by one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.gateway.sessions.updates import Closed, Final, Finalized, Interim, NothingSaid, Speakers, SpeechEnded, SpeechStarted, Update
from voxrelay.audio import seconds
from voxrelay.events import (
    Event,
    FinalizeRequested,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SessionConfig,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.join import join
from voxrelay.topology import stages_to_finish


@dataclass(slots=True)
class _Utterance:
    ended: UtteranceEnded | None = None
    ended_at: float = 0.0  # when that was heard
    transcribed: SegmentTranscribed | None = None
    diarized: SegmentDiarized | None = None
    classified: dict[str, SegmentClassified] = field(default_factory=dict)
    due_at: float | None = None  # when its final goes out whatever is missing


class Assembly:
    """Feed it every event of the session's results; take updates from ``push`` and ``due``.

    A final goes out when its transcript is final and the speaker and attributes the session asked for are there, or ``join_wait_s`` after
    the transcript without them. An utterance that holds no words says so in its place. A final does not change any more, so it has
    the speakers that were found when the utterance ended: which later ones came in time would be chance. The projector keeps those too.

    Speakers are told apart from that whenever they are known better, after the final too.

    ``is_patient``: nobody reads before the session is complete. Finals are held until then, with the speakers as they were found last.
    """

    def __init__(self, config: SessionConfig, join_wait_s: float, *, is_patient: bool = False) -> None:
        self._expected = stages_to_finish(config.stages)
        self._join_wait_s, self._is_patient = join_wait_s, is_patient
        self._wanted = frozenset(config.attributes)  # names; empty means all
        self._open: OrderedDict[str, _Utterance | int] = OrderedDict()  # an int is a finalize request in its place
        self._sequences: dict[str, int] = {}
        self._finished: dict[str, StageFinished] = {}
        self._early: dict[str, list[Event]] = {}  # results that overtook the boundary they belong to
        self._passed: set[str] = set()
        self._told: dict[str, int] = {}  # the revision of the speakers told last, by utterance
        self._is_closed = False
        self._numbered = self._finalizes = 0

    @property
    def missing(self) -> list[str]:
        """The stages that have not finished."""
        return sorted(self._expected - set(self._finished))

    def push(self, event: Event, now: float) -> Iterator[Update]:
        """The updates this event brings. Repeats bring none."""
        if event.sequence:
            if event.sequence <= self._sequences.get(event.producer, 0):
                return
            self._sequences[event.producer] = event.sequence
        payload = event.payload
        if isinstance(payload, UtteranceStarted):
            self._open[payload.utterance_id] = _Utterance()
            yield SpeechStarted(payload.utterance_id, seconds(payload.start_sample), self._finalizes)
            for early in self._early.pop(payload.utterance_id, ()):
                yield from self._result(early, now)
        elif isinstance(payload, UtteranceEnded):
            utterance = self._open.get(payload.utterance_id)
            if isinstance(utterance, _Utterance):
                utterance.ended, utterance.ended_at = payload, now
                yield SpeechEnded(payload.utterance_id, seconds(payload.end_sample), payload.reason)
        elif isinstance(payload, FinalizeRequested):
            self._finalizes = payload.ordinal
            self._open[f"finalize {payload.ordinal}"] = payload.ordinal
        elif isinstance(payload, StageFinished):
            self._finished[payload.stage] = payload
        else:
            yield from self._result(event, now)
        yield from self.due(now)

    @property
    def is_idle(self) -> bool:
        """Nothing can fall due, whatever the time: no utterance is open, and no ending either."""
        return not self._open and (self._is_closed or len(self._finished) < len(self._expected))

    def waits_s(self, now: float) -> float:
        """How long the words of an utterance that is over have been due; 0 when none are."""
        if not self._open or "transcribe" not in self._expected:
            return 0.0
        over = (utterance for utterance in self._open.values() if isinstance(utterance, _Utterance) and utterance.ended is not None)
        return next((now - utterance.ended_at for utterance in over if utterance.transcribed is None or not utterance.transcribed.is_final), 0.0)

    def due(self, now: float) -> Iterator[Update]:
        """The updates that waiting has brought."""
        is_finished = self._expected <= set(self._finished)
        while self._open and (is_finished or not self._is_patient):
            key, head = next(iter(self._open.items()))
            if isinstance(head, int):
                del self._open[key]
                yield Finalized(head, self._number())
            elif is_finished or self._is_complete(head) or (head.due_at is not None and now >= head.due_at):
                del self._open[key]
                self._passed.add(key)
                if head.transcribed is not None and head.transcribed.text:
                    utterance = join(head.transcribed, head.diarized, head.classified.values())
                    yield Final(utterance, head.ended.reason if head.ended is not None else "pause", self._number(), head.transcribed.engine)
                else:
                    yield NothingSaid(key, head.transcribed.end_s if head.transcribed is not None else 0.0)
            else:
                return
        if is_finished and not self._is_closed:
            self._is_closed = True
            yield Closed(max((done.audio_seconds for done in self._finished.values()), default=0.0), self._number())

    def _number(self) -> int:
        self._numbered += 1
        return self._numbered

    def _result(self, event: Event, now: float) -> Iterator[Update]:
        payload = event.payload
        if not isinstance(payload, SegmentTranscribed | SegmentDiarized | SegmentClassified):
            return
        if isinstance(payload, SegmentDiarized) and payload.revision > self._told.get(payload.utterance_id, 0) and not self._is_patient:
            self._told[payload.utterance_id] = payload.revision
            yield Speakers(payload.utterance_id, payload.segments, payload.is_final)
        utterance = self._open.get(payload.utterance_id)
        if not isinstance(utterance, _Utterance):
            if payload.utterance_id not in self._passed:
                self._early.setdefault(payload.utterance_id, []).append(event)
            return
        if isinstance(payload, SegmentTranscribed):
            known = utterance.transcribed
            if known is not None and (known.is_final or payload.revision <= known.revision):
                return
            utterance.transcribed = payload
            if payload.is_final:
                utterance.due_at = now + self._join_wait_s
            elif payload.text:
                yield Interim(payload)
        elif isinstance(payload, SegmentDiarized):
            known_speakers = utterance.diarized
            is_fixed = known_speakers is not None and known_speakers.is_final and not self._is_patient
            if known_speakers is None or (payload.revision > known_speakers.revision and not is_fixed):
                utterance.diarized = payload
        elif payload.is_final and event.producer in self._expected:  # text is classified for every session; not every one asked
            wanted = tuple(attribute for attribute in payload.attributes if not self._wanted or attribute.name in self._wanted)
            utterance.classified[event.producer] = replace(payload, attributes=wanted)

    def _is_complete(self, utterance: _Utterance) -> bool:
        if "transcribe" in self._expected and (utterance.transcribed is None or not utterance.transcribed.is_final):
            return False
        if utterance.transcribed is not None and not utterance.transcribed.text:
            return True
        if utterance.ended is None:  # its words overtook its end, which says why it ended
            return False
        if "diarize" in self._expected and (utterance.diarized is None or not utterance.diarized.is_final):
            return False
        return {"classify", "classify.text"} & self._expected <= set(utterance.classified)
