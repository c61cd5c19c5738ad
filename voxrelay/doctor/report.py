"""Runs the checks beside each other, each within its time, and gathers what they found."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxrelay.doctor.sentences import SENTENCES, State

Check = Callable[[], Sequence["Finding"]]
MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``code`` is a key of ``SENTENCES``."""

    check: str
    state: State
    code: str
    sentence: str


def finding(code: str, check: str = "", **values: Any) -> Finding:
    """The sentence of this code with the values filled in. Raises ``KeyError`` for a code or value that is missing."""
    sentence = SENTENCES[code]
    return Finding(check or sentence.check, sentence.state, code, sentence.text.format(**values))


def named(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def examine(checks: Mapping[str, Check], timeout_s: float) -> list[Finding]:
    """What all checks found, in their order. A check that does not end in time is left behind on its (daemon) thread and said to be slow."""
    deadline = time.monotonic() + timeout_s
    answers = {name: _started(name, check, timeout_s) for name, check in checks.items()}
    found: list[Finding] = []
    for name, answer in answers.items():
        try:
            found += answer.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            found.append(finding("CHECK_TOO_SLOW", name, seconds=round(timeout_s)))
    return found


def _started(name: str, check: Check, timeout_s: float) -> queue.Queue[Sequence[Finding]]:
    answer: queue.Queue[Sequence[Finding]] = queue.Queue(1)

    def ask() -> None:
        try:
            answer.put(check())
        except TimeoutError:  # of a library's own
            answer.put([finding("CHECK_TOO_SLOW", name, seconds=round(timeout_s))])
        except Exception as error:  # the other checks are worth having all the same; its message may hold anything, so only its type is shown
            answer.put([finding("CHECK_BROKE", name, error=type(error).__name__)])

    threading.Thread(target=ask, name=f"doctor-{name}", daemon=True).start()
    return answer
