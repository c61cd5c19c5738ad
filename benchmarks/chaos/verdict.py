"""What a disturbed run lost, doubled or changed, held against an undisturbed one of the same speech."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.callers import Heard
from benchmarks.chaos.stored import Kept

UNTOLD = {"timestamp"}  # the wall clock
WHAT = ("lost", "doubled", "changed")


@dataclass(frozen=True, slots=True)
class Difference:
    """``kind``: finals, sessions, or the table; ``what``: lost, doubled or changed; ``key`` says which one, never what was said."""

    session: int
    kind: str
    what: str
    key: str


@dataclass
class Verdict:
    """``counted`` is how many of each kind were compared."""

    counted: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.differences and self.counted["finals"] > 0

    def add(self, other: Verdict) -> None:
        self.counted.update(other.counted)
        self.differences += other.differences

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """kind, compared, lost, doubled, changed"""
        found = Counter((difference.kind, difference.what) for difference in self.differences)
        kinds = dict.fromkeys([*self.counted, *(difference.kind for difference in self.differences)])
        return [(kind, self.counted[kind], found[kind, "lost"], found[kind, "doubled"], found[kind, "changed"]) for kind in kinds]


@dataclass(frozen=True)
class Outcome:
    """One caller: what it heard, and what was kept of its session."""

    heard: Heard
    kept: Kept


def finals_of(heard: Heard) -> list[tuple[str, dict[str, Any]]]:
    """By utterance, everything a final says but the time of day."""
    return [(message["utterance_id"], {name: value for name, value in message.items() if name not in UNTOLD}) for message in heard.of("final")]


def judge(disturbed: Sequence[Outcome], undisturbed: Mapping[str, Outcome]) -> Verdict:
    """Every caller against the one who said the same undisturbed."""
    verdict = Verdict()
    for number, outcome in enumerate(disturbed):
        expected = undisturbed[outcome.heard.voice]
        verdict.counted["sessions"] += 1
        if outcome.heard.failure:
            verdict.differences.append(Difference(number, "sessions", "lost", outcome.heard.failure))
        _compare(verdict, number, "finals", finals_of(outcome.heard), finals_of(expected.heard))
        _numbering(verdict, number, outcome.heard)
        for kind in dict.fromkeys(key[0] for key in expected.kept | outcome.kept):
            found, wanted = ([("/".join(key[1:]), value) for key, value in kept.items() if key[0] == kind] for kept in (outcome.kept, expected.kept))
            _compare(verdict, number, f"{kind} stored" if kind == "sessions" else kind, found, wanted)
    return verdict


def _compare(verdict: Verdict, session: int, kind: str, found: Sequence[tuple[str, Any]], wanted: Sequence[tuple[str, Any]]) -> None:
    verdict.counted[kind] += len(wanted)
    times, values, expected = Counter(key for key, _ in found), dict(found), dict(wanted)
    for key in dict.fromkeys([*expected, *values]):
        if key not in values:
            verdict.differences.append(Difference(session, kind, "lost", key))
        elif key not in expected or times[key] > 1:
            verdict.differences.append(Difference(session, kind, "doubled", key))
        elif values[key] != expected[key]:
            names = _changed(values[key], expected[key])
            verdict.differences.append(Difference(session, kind, "changed", f"{key} ({names})" if names else key))


def _changed(found: Any, wanted: Any) -> str:
    """The names of the fields that differ."""
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return ""
    return ", ".join(name for name in {**wanted, **found} if found.get(name, Hashable) != wanted.get(name, Hashable))


def _numbering(verdict: Verdict, session: int, heard: Heard) -> None:
    """Numbered messages come in order and once."""
    numbers = [message["sequence"] for _, message in heard.messages if "sequence" in message]
    verdict.counted["messages in order"] += len(numbers)
    if numbers != list(range(1, len(numbers) + 1)):
        verdict.differences.append(Difference(session, "messages in order", "changed", str(numbers)))
