"""What every task of the evaluation says: which recordings it can use, what it asks the stages, and how it scores what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from evaluation.items import Item
from evaluation.path import Outcome
from voxrelay.audio import Float32Array

UNTOUCHED: Mapping[str, Any] = MappingProxyType({"noise_suppression": 0.0})  # what a session asks for to be left unprocessed


@dataclass(frozen=True, slots=True)
class Heard:
    """One recording after the stages: ``samples`` went in (16 kHz mono), ``outcome`` came out."""

    item: Item
    samples: Float32Array
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Score:
    """One recording. A system's figure is the sum of ``amount`` by the sum of ``weight`` (errors by words, seconds by seconds).

    ``figures`` are further measures, averaged over the recordings that have them; those with an underscore in the name are for the
    task's own ``summary``. ``detail`` is for the page: an alignment.
    """

    item: Item
    amount: float
    weight: float
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    detail: str = ""


class Task(Protocol):
    """``measure`` names the figure. ``services`` is the path that is run; ``stages`` the stages whose engine time counts."""

    name: str
    measure: str
    is_higher_better: bool
    services: tuple[str, ...]
    stages: tuple[str, ...]
    needs: str  # of the data, for people
    baseline: Mapping[str, Any] | None  # what a session asks for to be left unprocessed; None where that changes nothing
    floor: str  # what the simplest guess is, empty where there is none

    def suits(self, item: Item) -> bool: ...

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        """One a recording, in order. Runs where the settings of the system are in force."""
        ...

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:
        """The same of the simplest guess."""
        ...

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        """Further figures of a whole system."""
        ...

    def notes(self) -> list[str]:
        """What was left out here and why, a sentence each."""
        ...


def rate_of(scores: Sequence[Score]) -> float | None:
    """None where nothing counts."""
    weight = sum(score.weight for score in scores)
    return sum(score.amount for score in scores) / weight if weight else None


def means(scores: Sequence[Score]) -> dict[str, float]:
    """Of each further measure, over the recordings that have it."""
    names = dict.fromkeys(name for score in scores for name in score.figures if "_" not in name)
    by_name = {name: [score.figures[name] for score in scores if name in score.figures] for name in names}
    return {name: sum(values) / len(values) for name, values in by_name.items()}
