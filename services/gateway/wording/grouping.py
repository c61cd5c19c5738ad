"""Words of a whole file as utterances, sentences and paragraphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.gateway.wording.punctuation import SENTENCE_ENDS
from services.gateway.wording.words import WrittenWord, text_of

UTTERANCE_PAUSE_S = 0.8
PARAGRAPH_PAUSE_S = 2.0
PARAGRAPH_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Group:
    """At least one word, in the order they were spoken."""

    words: tuple[WrittenWord, ...]

    @property
    def text(self) -> str:
        return text_of(self.words)

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s

    @property
    def confidence(self) -> float:
        """The mean of its words'."""
        return sum(word.confidence for word in self.words) / len(self.words)

    @property
    def speaker(self) -> str:
        return self.words[0].speaker


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One speaker's sentences; at least one."""

    sentences: tuple[Group, ...]

    @property
    def words(self) -> tuple[WrittenWord, ...]:
        return tuple(word for sentence in self.sentences for word in sentence.words)


def utterances(words: Iterable[WrittenWord], pause_s: float = UTTERANCE_PAUSE_S) -> list[Group]:
    """Cut where nobody speaks for ``pause_s`` or longer, and where the speaker changes."""
    return _cut(words, lambda before, word: word.start_s - before.end_s >= pause_s or word.speaker != before.speaker)


def sentences(words: Iterable[WrittenWord]) -> list[Group]:
    """Cut behind a full stop, question mark or exclamation mark, at a new line, and where the speaker changes."""

    def is_cut(before: WrittenWord, word: WrittenWord) -> bool:
        return before.written.rstrip("\n").endswith(SENTENCE_ENDS) or before.written.endswith("\n") or word.speaker != before.speaker

    return _cut(words, is_cut)


def paragraphs(words: Iterable[WrittenWord]) -> list[Paragraph]:
    """A new one where the speaker changes, behind two seconds of silence, and after five sentences."""
    found: list[list[Group]] = []
    for sentence in sentences(words):
        last = found[-1] if found else []
        is_same = last and last[-1].speaker == sentence.speaker and sentence.start_s - last[-1].end_s < PARAGRAPH_PAUSE_S
        if is_same and len(last) < PARAGRAPH_SENTENCES:
            last.append(sentence)
        else:
            found.append([sentence])
    return [Paragraph(tuple(group)) for group in found]


def _cut(words: Iterable[WrittenWord], is_cut: Callable[[WrittenWord, WrittenWord], bool]) -> list[Group]:
    groups: list[list[WrittenWord]] = []
    for word in words:
        if groups and not is_cut(groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [Group(tuple(group)) for group in groups]
