"""Words the client wants written otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.wording.words import WrittenWord, bare, merged


def replace_heard(words: Sequence[WrittenWord], replacements: Sequence[tuple[str, str]]) -> list[WrittenWord]:
    """Each (heard, written): where these words follow each other, one word ``written`` stands; empty takes them out. Longer ones go first."""
    wanted: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by their first word
    for heard, text in sorted(((tuple(heard.lower().split()), text) for heard, text in replacements), key=lambda one: -len(one[0])):
        if heard:
            wanted.setdefault(heard[0], []).append((heard, text))
    written: list[WrittenWord] = []
    at = 0
    while at < len(words):
        for heard, text in wanted.get(words[at].heard, ()):
            found = words[at : at + len(heard)]
            if tuple(word.heard for word in found) == heard:
                if text:
                    tail = found[-1].written[len(found[-1].written.rstrip(".,?!;:")) :]  # an engine's own punctuation stays
                    written.append(merged(found, text + tail, bare(text)))
                at += len(heard)
                break
        else:
            written.append(words[at])
            at += 1
    return written
