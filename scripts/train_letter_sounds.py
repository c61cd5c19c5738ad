"""Learns letter-to-sound rules from the pronunciation dictionary that comes with pocketsphinx (CMUdict, BSD licence).

Letters are aligned with phones by Viterbi re-estimation, then every letter in its context becomes a rule of an information-gain
tree: W. Daelemans, A. van den Bosch, "Language-independent data-oriented grapheme-to-phoneme conversion" (Progress in Speech
Synthesis, 1997). Only rules that say something else than the shorter one they extend are kept.

    python scripts/train_letter_sounds.py            writes services/transcribe/engines/letter_sounds.txt
    python scripts/train_letter_sounds.py --score    trains on 95 % and scores on the rest, writes nothing
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from services.transcribe.engines.letter_sounds import MOST_CONTEXT, LetterSounds, context_of  # noqa: E402  # after the path is set
from services.transcribe.engines.pocketsphinx_dictionary import entries  # noqa: E402

TARGET = ROOT / "services" / "transcribe" / "engines" / "letter_sounds.txt"
ITERATIONS = 4
FEWEST_EXAMPLES = 3
MOST_PHONES_A_LETTER = 2
Costs = dict[tuple[str, str], float]
Pronunciation = tuple[str, ...]


def dictionary_words() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Words and phones of the bundled dictionary, in its order; alternates (``the(2)``) are left out."""
    for entry, phones in entries():
        if phones and "(" not in entry:
            yield entry, tuple(phones.split())


def align(word: str, phones: Pronunciation, costs: Costs, unseen: float) -> list[str] | None:
    """The phones of each letter (none, one or two, joined by a blank) on the cheapest path, or None where no path exists."""
    infinite = math.inf
    best = [[infinite] * (len(phones) + 1) for _ in range(len(word) + 1)]
    taken = [[0] * (len(phones) + 1) for _ in range(len(word) + 1)]
    best[0][0] = 0.0
    for i, letter in enumerate(word):
        for j in range(len(phones) + 1):
            if best[i][j] == infinite:
                continue
            for width in range(min(MOST_PHONES_A_LETTER, len(phones) - j) + 1):
                cost = best[i][j] + costs.get((letter, " ".join(phones[j : j + width])), unseen)
                if cost < best[i + 1][j + width]:
                    best[i + 1][j + width] = cost
                    taken[i + 1][j + width] = width
    if best[-1][-1] == infinite:
        return None
    pieces: list[str] = []
    j = len(phones)
    for i in range(len(word), 0, -1):
        width = taken[i][j]
        pieces.append(" ".join(phones[j - width : j]))
        j -= width
    return pieces[::-1]


def first_costs(words: list[tuple[str, Pronunciation]]) -> Costs:
    """How letters and phones occur at about the same place in their words."""
    counts: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for word, phones in words:
        for i, letter in enumerate(word):
            middle = (i + 0.5) / len(word) * len(phones)
            totals[letter] += 1
            counts[letter, phones[min(len(phones) - 1, int(middle))]] += 1
    costs = {pair: -math.log(count / totals[pair[0]]) for pair, count in counts.items()}
    costs |= {(letter, ""): 2.5 for letter in totals}
    return costs


def aligned(words: list[tuple[str, Pronunciation]]) -> list[tuple[str, list[str]]]:
    costs, unseen = first_costs(words), 9.0
    result: list[tuple[str, list[str]]] = []
    for _ in range(ITERATIONS):
        counts: Counter[tuple[str, str]] = Counter()
        totals: Counter[str] = Counter()
        result = []
        for word, phones in words:
            pieces = align(word, phones, costs, unseen)
            if pieces is None:
                continue
            result.append((word, pieces))
            for letter, piece in zip(word, pieces, strict=True):
                counts[letter, piece] += 1
                totals[letter] += 1
        costs, unseen = {pair: -math.log(count / totals[pair[0]]) for pair, count in counts.items()}, 14.0
    return result


def rules_of(examples: list[tuple[str, list[str]]]) -> dict[str, str]:
    """The commonest phones of each context that does not follow from a shorter one."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for word, pieces in examples:
        for position, piece in enumerate(pieces):
            context = context_of(word, position)
            for length in range(1, MOST_CONTEXT + 1):
                votes[context[:length]][piece] += 1
    rules: dict[str, str] = {}
    for context in sorted(votes, key=lambda key: (len(key), key)):
        counted = votes[context]
        if len(context) > 1 and counted.total() < FEWEST_EXAMPLES:
            continue
        piece = min(counted, key=lambda phones: (-counted[phones], phones))
        shorter = next((rules[context[:length]] for length in range(len(context) - 1, 0, -1) if context[:length] in rules), None)
        if piece != shorter:
            rules[context] = piece
    return rules


def score(words: list[tuple[str, Pronunciation]], sounds: LetterSounds) -> None:
    right = sum(sounds.phones(word) == phones for word, phones in words)
    print(f"{len(words)} unseen words, {right / len(words):.1%} entirely right")


def main() -> None:
    words = [(word, phones) for word, phones in dictionary_words() if word.isascii() and word.isalpha()]
    if "--score" in sys.argv:
        held_out = words[::20]
        sounds = LetterSounds(rules_of(aligned([item for index, item in enumerate(words) if index % 20])))
        print(f"{len(sounds.rules)} rules")
        score(held_out, sounds)
        return
    rules = rules_of(aligned(words))
    lines = [f"{context} {phones}".rstrip() for context, phones in sorted(rules.items())]
    header = "# Learnt from CMUdict by scripts/train_letter_sounds.py: letter, right, left, right, left ... then its phones. Not edited by hand."
    TARGET.write_text("\n".join([header, *lines]) + "\n")
    print(f"{len(rules)} rules in {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
