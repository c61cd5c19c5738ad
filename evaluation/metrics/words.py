"""Word error rate, by jiwer: substitutions, deletions and insertions by the words spoken."""

from __future__ import annotations

import re
from dataclasses import dataclass

import jiwer

_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*'?")


def normal(text: str) -> str:
    """Lower case, without punctuation: what word error rate is counted on."""
    return " ".join(_WORDS.findall(text.lower().replace("’", "'")))


@dataclass(frozen=True, slots=True)
class WordErrors:
    errors: int
    words: int

    @property
    def rate(self) -> float:
        return self.errors / max(1, self.words)


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """A rate over many is the sum of the errors by the sum of the words. Words where nobody speaks are all errors."""
    reference, hypothesis = normal(reference), normal(hypothesis)
    if not reference:
        return WordErrors(len(hypothesis.split()), 0)
    found = jiwer.process_words(reference, hypothesis)
    return WordErrors(found.substitutions + found.deletions + found.insertions, len(reference.split()))


def alignment(reference: str, hypothesis: str) -> str:
    """Both one under the other, with S, D and I below what differs; three lines."""
    reference, hypothesis = normal(reference), normal(hypothesis)
    if not reference:
        return f"REF:\nHYP: {hypothesis}\n"
    shown = jiwer.visualize_alignment(jiwer.process_words(reference, hypothesis), show_measures=False, skip_correct=False)
    return "\n".join(line.rstrip() for line in shown.splitlines() if line.startswith(("REF:", "HYP:", "     ")))
